"""Connections that end at a write, in every scenario of the unit suite: C{pytest --failing-write N} for pytest only.

With that option each connection of a L{MemoryGateway} falls behind, or can't be written to, when it is written to for
the Nth time after its welcome. What a scenario asserts is of no interest then. What must hold, whoever was in the
middle of what: the gateway logs no error of its own, and nothing is left of connections, sessions, calls,
subscriptions once all have gone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from twisted.internet.error import ConnectionDone
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from cell0gw.monitoring.statistics import IStatistics
from cell0gw.testing import Client, MemoryGateway

GONE: Final = (
    "connections",
    "unauthenticated",
    "sessions",
    "sessions_detached",
    "calls_inflight",
    "calls_waiting",
    "subscriptions",
    "patterns",
    "watchers",
)
"""Figures of C{gateway.getStats} that are 0 when nobody is there."""

FEW: Final = 5
"""Examples of a state machine: each makes a gateway, and none is of use in finding a smaller one."""

LONGER: Final = 70
"""Seconds by which it takes longer than places are kept until no call waits either."""


class Broken(OSError):
    """A write that is to fail."""


def falls_behind(client: Client, at: int = 1) -> None:
    """Let a client have too much waiting for it when it is written to once more, as a transport finds it.

    @param at: at which write from now on.
    """
    server: Any = client.server
    at_write(client, at, server.fall_behind)


def breaks(client: Client, at: int = 1) -> None:
    """Let writing to a client raise.

    @param at: at which write from now on.
    """

    def fail() -> None:
        raise Broken("broken")

    at_write(client, at, fail)


def at_write(client: Client, at: int, act: Callable[[], None]) -> None:
    """Let something happen in place of a write to a client, and of all writes after it."""
    server: Any = client.server
    write, left = server._write, at

    def counted(data: bytes) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            write(data)
        else:
            act()

    if write is not None:
        server._write = counted
        server.transport.writeSequence = lambda parts: counted(b"".join(parts))


def left_over(gateway: MemoryGateway) -> list[str]:
    """What is left in a gateway after all of its clients have gone, and time has passed."""
    for client in gateway._clients:
        client.vanish()
    for connection in list(gateway.guard.connections):  # those that a scenario made by hand
        connection.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
    for _ in range(int(gateway.config.resume_window) + LONGER):
        gateway.clock.advance(1.0)
    gone = GONE if gateway.running else [name for name in GONE if name != "sessions_detached"]  # nothing is swept
    found = []
    for source in (source for source in gateway if IStatistics.providedBy(source)):
        current = source.statistics().current
        found += [f"{source.name}: {name} is {current[name]}" for name in gone if current.get(name)]
    return found


class Trial:
    """One test under the parameter.

    @ivar found: what must not be.
    @ivar reached: whether a connection ended at its write.
    """

    def __init__(self, at: int, breaking: bool) -> None:
        self._at = at
        self._breaking = breaking
        self._gateways: list[MemoryGateway] = []
        self.found: list[str] = []
        self.reached = False

    def connected(self, client: Client) -> None:
        """Called with each new client, after its welcome."""
        if client.server._write is None:
            return
        server: Any = client.server

        def end() -> None:
            self.reached = True
            if self._breaking:
                raise Broken("broken")
            server.fall_behind()

        at_write(client, self._at, end)

    def made(self, gateway: MemoryGateway) -> None:
        """Called with each new gateway."""
        self._gateways.append(gateway)

    def logged(self, event: Any) -> None:
        """Called with each event of the log."""
        failure = event.get("log_failure")
        if event.get("log_namespace") == "twisted.internet.defer":
            return  # a scenario that ended early had no time to look at what it had asked for
        if event["log_level"] >= LogLevel.error and not (failure and failure.check(Broken)):
            self.found.append(f"log: {event.get('log_format')} {failure.getTraceback() if failure else ''}")

    def look(self, gateway: MemoryGateway) -> None:
        """Called when a scenario is done with its gateway."""
        if gateway in self._gateways:
            self._gateways.remove(gateway)
            try:
                self.found += left_over(gateway)
            except Exception as problem:
                self.found.append(f"after the scenario: {problem!r}")


def expects_errors(item: pytest.Item) -> bool:
    """Whether a test has the gateway log errors on purpose."""
    owner = getattr(item, "cls", None) or getattr(item, "function", None)
    return owner is None or "flushLoggedErrors" in inspect.getsource(owner)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test under the parameter, if there is one."""
    at = item.config.getoption("failing_write")
    if not at:
        yield
        return
    trial = Trial(at, item.config.getoption("failing_how") == "broken")
    item.stash[TRIAL] = trial
    make, close, connect, sets = MemoryGateway.__init__, MemoryGateway.close, Client.__init__, settings.__init__

    def making(gateway: MemoryGateway, *arguments: Any, **options: Any) -> None:
        make(gateway, *arguments, **options)
        trial.made(gateway)

    def closing(gateway: MemoryGateway) -> None:
        trial.look(gateway)
        close(gateway)

    def connecting(client: Client, gateway: MemoryGateway) -> None:
        connect(client, gateway)
        trial.connected(client)

    def setting(self: settings, *parent: Any, **options: Any) -> None:
        sets(self, *parent, **options | {"max_examples": FEW, "phases": [Phase.generate], "database": None})

    patched: Any = pytest.MonkeyPatch()
    patched.setattr(settings, "__init__", setting)
    patched.setattr(MemoryGateway, "__init__", making)
    patched.setattr(MemoryGateway, "close", closing)
    patched.setattr(Client, "__init__", connecting)
    globalLogPublisher.addObserver(trial.logged)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(trial.logged)
        patched.undo()


TRIAL: Final = pytest.StashKey[Trial]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Judge a test by what must hold, not by what it asserts."""
    outcome: Any = yield
    trial = item.stash.get(TRIAL, None)
    if trial is None or call.when == "setup":
        return
    report = outcome.get_result()
    if not trial.reached and call.when == "call":
        report.outcome, report.longrepr = "skipped", (str(item.path), 0, "no connection was written to so often")
    elif trial.found and call.when == "call" and not expects_errors(item):
        report.outcome, report.longrepr = "failed", "\n".join(trial.found)
    else:
        report.outcome, report.longrepr = "passed", None
