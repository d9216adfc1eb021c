"""How the gateway is: what is wrong with it, while it goes on with all that is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from zope.interface import implementer

from cell0gw.process.interfaces import IDraining
from cell0gw.protocol.timestamps import timestamp

HealthStatus = Literal["ok", "degraded", "draining"]

OPERATORS_OWN: Final = frozenset({"log", "audit"})
"""The parts whose problems no client notices."""


class Problem(msgspec.Struct, frozen=True):
    """A problem.

    - `name`: the part affected: `storage`, the database; `log`; `audit`, the audit log
    - `cause`: why, in one word, see docs/operations.md#when-the-disk-fails; `dropped`: lines of it are, see
      docs/operations.md#when-nobody-reads-the-log
    - `message`: both, for people
    - `since`: when it began
    """

    name: str
    cause: str
    message: str
    since: str


@implementer(IDraining)
class Health:
    """What is wrong now, by name.

    @param emit: sends an event on C{$system}: its type and its data.
    @param wall: tells the date.
    @ivar draining: whether the gateway goes down.
    @ivar changed: each is called, without arguments, after L{status} or L{problems} may have changed.
    """

    def __init__(self, emit: Callable[[str, Any], Any], wall: Callable[[], float]) -> None:
        self._wall = wall
        self._emit = emit
        self._problems: dict[str, Problem] = {}
        self.draining = False
        self.changed: list[Callable[[], Any]] = []

    @property
    def status(self) -> HealthStatus:
        """The status: ok, degraded or draining."""
        if self.draining:
            return "draining"
        return "degraded" if self._problems else "ok"

    @property
    def for_clients(self) -> HealthStatus:
        """The status as far as clients are concerned: where only a log lacks lines, they had better stay."""
        if self.draining or self._problems.keys() - OPERATORS_OWN:
            return self.status
        return "ok"

    @property
    def summary(self) -> list[str]:
        """All that is wrong, for a line about the process."""
        return [f"{problem.name}: {problem.cause}" for problem in self._problems.values()]

    @property
    def problems(self) -> list[Problem]:
        """All that is wrong, what has been for longest first."""
        return list(self._problems.values())

    def report(self, name: str, cause: str, message: str) -> None:
        """There is a problem, new or for another cause than before."""
        before = self._problems.get(name)
        since = timestamp(self._wall()) if before is None else before.since
        problem = self._problems[name] = Problem(name, cause, message, since)
        if problem != before:
            self._emit("gateway.degraded", problem)
            self._tell()

    def clear(self, name: str) -> None:
        """A problem is solved."""
        problem = self._problems.pop(name, None)
        if problem is not None:
            self._emit("gateway.recovered", {"name": name, "cause": problem.cause, "since": problem.since})
            self._tell()

    def drain(self, draining: bool) -> None:
        """See L{IDraining}."""
        self.draining = draining
        self._tell()

    def storage(self, cause: str | None) -> None:
        """What is wrong with the disk, one of L{CAUSES}; None: nothing."""
        if cause is None:
            self.clear("storage")
        else:
            wrong, remedy = CAUSES[cause]
            self.report("storage", cause, f"The database can't be written, {wrong}: {remedy}")

    def _tell(self) -> None:
        for watcher in self.changed:
            watcher()


CAUSES: Final = {
    "full": ("the disk is full", "make room"),
    "read_only": ("it can't be written", "give the gateway's user the right to write it, and its file system too"),
    "locked": ("another program has locked it", "end that program"),
    "failing": ("the disk fails", "look after the disk; the system's log may say more"),
    "damaged": ("it is damaged", "restore a backup, or move it away and lose its tokens, durable channels and mail"),
    "unreachable": ("it can't be opened", "see that it is there, and may be read and written"),
    "replaced": ("the file was replaced", "restart the gateway, or restore the original"),
    "slow": ("the disk takes very long", "look after the disk; the system's log may say more"),
}
"""What is wrong, and what to do, by the cause as it is on the wire."""
