"""``gateway``: health, statistics, explanations of routing, and dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw
from msgspec.structs import asdict
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.call import CallRequest, call_request, check_policy
from cell0gw.agents.explain import Explanation
from cell0gw.auth.grants import denied
from cell0gw.auth.sight import SEE
from cell0gw.monitoring.audit import Audit
from cell0gw.monitoring.health import Health, HealthStatus, Problem
from cell0gw.monitoring.statistics import Counts, IStatistics, Rates
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import NotFound, RPCError
from cell0gw.protocol.timestamps import timestamp
from cell0gw.protocol.version import SERVER_VERSION
from cell0gw.rpc.access import permission
from cell0gw.services.gateway_dead_letters import DeadLetterMethods
from cell0gw.sessions.session import Caller
from cell0gw.tasks.requests import delay_of
from cell0gw.tasks.tasks import Tasks

Explained = Literal["agent.send", "agent.call", "task.create", "task.get"]

_SAMPLE_EVERY: Final = 5.0
_SAMPLES: Final = 13  # a minute's worth: twelve spans have thirteen ends


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the gateway.

    - `version`: of the gateway
    - `started_at`: when it was started
    - `uptime`: seconds since then
    - `services`: the figures of each service, by name, see docs/operations.md#figures
    - `rates`: growth of the counters among them, per second over the last minute, by names like `channel.publications`
    - `tls_failures`: how many handshakes of TLS failed since then, by cause, see
      docs/operations.md#tls-handshakes-that-fail
    """

    version: str
    started_at: str
    uptime: float
    services: dict[str, dict[str, int]]
    rates: dict[str, float]
    tls_failures: dict[str, int]


class HealthReport(msgspec.Struct, frozen=True):
    """The health of the gateway, and its problems.

    - `status`: `ok`; `degraded`: something is wrong, and all that does not need it goes on; `draining`: the gateway
      goes down
    - `problems`: what is wrong
    """

    status: HealthStatus
    problems: list[Problem]


@implementer(IStatistics)
class GatewayService(DeadLetterMethods, Service):
    """The gateway as a whole.

    @param services: gives the services, and other parts, that may have figures to show.
    @param own: gives the figures of the connections and of the dispatcher.
    @param examine: judges params of a method as if a caller had sent them, and gives them decoded.
    @param tls_failures: how many handshakes of TLS failed, by cause; it grows.
    """

    name = "gateway"

    def __init__(
        self,
        runtime: Runtime,
        services: Callable[[], Iterable[Any]],
        own: Callable[[], Counts],
        agents: Agents,
        tasks: Tasks,
        examine: Callable[[Caller, str, bytes], Any],
        health: Health,
        tls_failures: Mapping[str, int],
        audit: Audit,
    ) -> None:
        DeadLetterMethods.__init__(self, agents, audit)
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._services = services
        self._explain = agents.explain
        self._prospects = tasks.prospects
        self._examine = examine
        self._health = health
        self._tls_failures = tls_failures
        self._started, self._started_at = self._clock.seconds(), ""
        self._rates = Rates(_SAMPLES)
        self._loop = LoopingCall(self._sample)
        self._loop.clock = self._clock
        self.statistics = own

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        self._started, self._started_at = self._clock.seconds(), timestamp(self._wall())
        self._rates.clear()
        self._loop.start(_SAMPLE_EVERY)

    def stopService(self) -> None:
        """See L{IService}."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    @permission()
    def rpc_getStats(self, caller: Caller) -> Statistics:
        """Get statistics of the gateway. They count everyone, and so are for those who see everyone.

        - `permission_denied`: the token shows some entities only, see docs/protocol.md#sight
        """
        if not caller.sight.everyone:
            raise denied(caller.sender.permissions, SEE)
        now = self._clock.seconds()
        return Statistics(
            version=SERVER_VERSION,
            started_at=self._started_at,
            uptime=round(now - self._started, 3),
            services={source.name: {**counts.current, **counts.total} for source, counts in self._counts()},
            rates=self._rates.per_second(now, self._totals()),
            tls_failures=dict(self._tls_failures),
        )

    @permission()
    def rpc_getHealth(self, caller: Caller) -> HealthReport:
        """Get the health of the gateway: ok, degraded or draining, and its problems."""
        return HealthReport(self._health.status, self._health.problems)

    @permission()
    def rpc_explain(self, caller: Caller, *, method: Explained, params: Raw) -> Explanation | Awaitable[Explanation]:
        """Explain who would get a message, a call or a task, and why others would not. Nothing is sent.

        Everything is judged as if the caller had sent it, its permissions included, and nothing is counted. Sessions
        that declare a capability and may not serve it are considered, too. Under the policy `random` none is chosen:
        all that have room are as likely. What depends on how many calls wait or run, and on a known idempotency key, is
        not looked at. Of `task.get` it explains why the task waits, or who would have it next.

        - `method`: the method
        - `params`: its params, an object or an array
        """
        sender = caller.sender
        try:
            given = self._examine(caller, method, bytes(params))
            if method == "agent.send":
                size = len(bytes(given.message))
                kept = given.receipts or given.idempotency_key is not None
                return self._explain.message(sender, given.agent_id, size, given.in_reply_to, kept)
            if method == "agent.call":
                return self._explain.call(sender, call_request(**asdict(given)))
            if method == "task.get":
                return self._prospects.task(sender, given.task_id).addErrback(_refused)
            check_policy(given.policy, given.key)
            delay = delay_of(given.not_before, self._wall())
            request = CallRequest(
                agent_id=given.agent_id,
                capability=given.capability,
                message=given.message,
                timeout=0.0,
                policy=given.policy,
                key=given.key,
                in_reply_to=given.in_reply_to,
            )
            return self._prospects.creation(sender, request, delay)
        except RPCError as refusal:
            return Explanation(outcome="refused", reason=refusal.message)

    def _counts(self) -> list[tuple[Any, Counts]]:
        return [(source, source.statistics()) for source in self._services() if IStatistics.providedBy(source)]

    def _totals(self) -> dict[str, int]:
        return {f"{source.name}.{name}": n for source, counts in self._counts() for name, n in counts.total.items()}

    def _sample(self) -> None:
        self._rates.sample(self._clock.seconds(), self._totals())


def _refused(failure: Failure) -> Explanation:
    failure.trap(NotFound)
    return Explanation(outcome="refused", reason=failure.value.message)  # type: ignore[union-attr]
