"""``gateway``: health, statistics, explanations of routing, and dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Raw
from msgspec.structs import asdict
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.call import call_request
from cell0gw.agents.explain import Explanation
from cell0gw.agents.mail.store import DeadLetter
from cell0gw.monitoring.health import Health, HealthStatus, Problem
from cell0gw.monitoring.statistics import Counts, IStatistics, Rates
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import RPCError
from cell0gw.protocol.limits import MAX_PAGE
from cell0gw.protocol.subjects import Name
from cell0gw.protocol.timestamps import timestamp
from cell0gw.protocol.version import SERVER_VERSION
from cell0gw.rpc.access import permission
from cell0gw.sessions.session import Caller

Explained = Literal["agent.send", "agent.call"]
PageSize = Annotated[int, Meta(ge=1, le=MAX_PAGE)]

_SAMPLE_EVERY: Final = 5.0
_SAMPLES: Final = 13  # a minute's worth: twelve spans have thirteen ends


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of the gateway.

    `services` has the figures of each service. `rates` are those of the counters among them, per second over the last
    minute. `uptime` is seconds.
    """

    version: str
    started_at: str
    uptime: float
    services: dict[str, dict[str, int]]
    rates: dict[str, float]


class HealthReport(msgspec.Struct, frozen=True):
    """The health of the gateway, and its problems."""

    status: HealthStatus
    problems: list[Problem]


# Beside DeadLetter, since dates are text on the wire, and the message is JSON there.
class DeadMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `status` is expired, or failed if it was rejected; `ended_at` says when, `detail` why."""

    message_id: str
    sender: str = msgspec.field(name="from")
    agent_id: str
    message: Raw
    timestamp: str
    conversation_id: str
    status: str
    ended_at: str
    detail: str | None


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, newest first. `total` is how many there are."""

    messages: list[DeadMessage]
    total: int


@implementer(IStatistics)
class GatewayService(Service):
    """The gateway as a whole.

    @param services: gives the services that may have figures to show.
    @param own: gives the figures of the connections and of the dispatcher.
    @param examine: judges params of a method as if a caller had sent them, and gives them decoded.
    """

    name = "gateway"

    def __init__(
        self,
        runtime: Runtime,
        services: Callable[[], Iterable[Any]],
        own: Callable[[], Counts],
        agents: Agents,
        examine: Callable[[Caller, str, bytes], Any],
        health: Health,
    ) -> None:
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._services = services
        self._archive = agents.archive
        self._explain = agents.explain
        self._examine = examine
        self._health = health
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
        """Get statistics of the gateway."""
        now = self._clock.seconds()
        return Statistics(
            version=SERVER_VERSION,
            started_at=self._started_at,
            uptime=round(now - self._started, 3),
            services={source.name: {**counts.current, **counts.total} for source, counts in self._counts()},
            rates=self._rates.per_second(now, self._totals()),
        )

    @permission()
    def rpc_getHealth(self, caller: Caller) -> HealthReport:
        """Get the health of the gateway: ok, degraded or draining, and its problems."""
        return HealthReport(self._health.status, self._health.problems)

    @permission()
    def rpc_explain(self, caller: Caller, *, method: Explained, params: Raw) -> Explanation:
        """Explain who would get a message or a call, and why others would not. Nothing is sent."""
        sender = caller.sender
        try:
            given = self._examine(caller, method, bytes(params))
            if method == "agent.send":
                size = len(bytes(given.message))
                kept = given.receipts or given.idempotency_key is not None
                return self._explain.message(sender, given.agent_id, size, given.in_reply_to, kept)
            return self._explain.call(sender, call_request(**asdict(given)))
        except RPCError as refusal:
            return Explanation(outcome="refused", reason=refusal.message)

    @permission()
    def rpc_getDeadLetters(
        self, caller: Caller, *, agent_id: Name | None = None, limit: PageSize = 100
    ) -> Awaitable[DeadLetters]:
        """List undeliverable messages: those that expired, and those that their recipient rejected."""
        return self._archive.dead(agent_id, limit).addCallback(_dead_letters)

    def _counts(self) -> list[tuple[Any, Counts]]:
        return [(source, source.statistics()) for source in self._services() if IStatistics.providedBy(source)]

    def _totals(self) -> dict[str, int]:
        return {f"{source.name}.{name}": n for source, counts in self._counts() for name, n in counts.total.items()}

    def _sample(self) -> None:
        self._rates.sample(self._clock.seconds(), self._totals())


def _dead_letters(found: tuple[list[DeadLetter], int]) -> DeadLetters:
    dead, total = found
    return DeadLetters(
        messages=[
            DeadMessage(
                message_id=one.letter.message_id,
                sender=one.letter.sender,
                agent_id=one.letter.recipient,
                message=Raw(one.letter.message),
                timestamp=timestamp(one.letter.time),
                conversation_id=one.letter.conversation_id,
                status=one.status,
                ended_at=timestamp(one.time),
                detail=one.detail,
            )
            for one in dead
        ],
        total=total,
    )
