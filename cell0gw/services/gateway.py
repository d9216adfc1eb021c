"""``gateway``: how it is doing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from cell0gw.about import SERVER_VERSION
from cell0gw.interfaces import IStatistics
from cell0gw.permissions import permission
from cell0gw.sessions import Caller
from cell0gw.statistics import Counts, Rates
from cell0gw.timestamps import timestamp

_SAMPLE_EVERY: Final = 5.0
_SAMPLES: Final = 13  # a minute's worth: twelve spans have thirteen ends


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What C{gateway.getStats} answers.

    C{services} holds each service's figures; C{rates} how fast those that only grow did so in the last minute, per
    second. C{uptime} is seconds.
    """

    version: str
    started_at: str
    uptime: float
    services: dict[str, dict[str, int]]
    rates: dict[str, float]


@implementer(IStatistics)
class GatewayService(Service):
    """The gateway as a whole.

    @param services: gives the services that may have figures to show.
    @param own: gives the figures of the connections and of the dispatcher.
    """

    name = "gateway"

    def __init__(self, clock: IReactorTime, services: Callable[[], Iterable[Any]], own: Callable[[], Counts]) -> None:
        self._clock = clock
        self._services = services
        self._started = clock.seconds()
        self._rates = Rates(_SAMPLES)
        self._loop = LoopingCall(self._sample)
        self._loop.clock = clock
        self.statistics = own

    def startService(self) -> None:
        """See L{IService}."""
        super().startService()
        self._started = self._clock.seconds()
        self._rates.clear()
        self._loop.start(_SAMPLE_EVERY)

    def stopService(self) -> None:
        """See L{IService}."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    @permission()
    def rpc_getStats(self, caller: Caller) -> Statistics:
        """Get gateway statistics."""
        now = self._clock.seconds()
        return Statistics(
            version=SERVER_VERSION,
            started_at=timestamp(self._started),
            uptime=round(now - self._started, 3),
            services={source.name: {**counts.current, **counts.total} for source, counts in self._counts()},
            rates=self._rates.per_second(now, self._totals()),
        )

    def _counts(self) -> list[tuple[Any, Counts]]:
        return [(source, source.statistics()) for source in self._services() if IStatistics.providedBy(source)]

    def _totals(self) -> dict[str, int]:
        return {f"{source.name}.{name}": n for source, counts in self._counts() for name, n in counts.total.items()}

    def _sample(self) -> None:
        self._rates.sample(self._clock.seconds(), self._totals())
