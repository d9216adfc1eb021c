"""The audit log: who minted and revoked what, and who was refused what. A JSON object a line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
from twisted.logger import Logger

from cell0gw.process.lines import Lines
from cell0gw.protocol.printable import printable
from cell0gw.protocol.timestamps import timestamp
from cell0gw.sessions.session import Caller

REFUSALS_A_SECOND: Final = 20
"""Maximum refusals logged per second; beyond that only their count."""

MAX_ITEMS: Final = 20
"""Maximum items of a list in a line; beyond that their number. What a peer may choose must not fill the log."""

MAX_TEXT: Final = 300
"""Maximum characters of a text in a line."""


class Audit:
    """Records what an operator will want to know afterwards. Tokens themselves are never in it.

    @param write: takes a line, its end included.
    @param wall: the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(self, write: Callable[[bytes], Any], wall: Callable[[], float]) -> None:
        self._write = write
        self._wall = wall
        self._second = 0
        self._refusals = 0

    def record(self, action: str, caller: Caller | None, **details: Any) -> None:
        """Record something that was done.

        @param action: C{token.minted} and the like.
        @param caller: who did it; None: the gateway itself.
        @param details: JSON values.
        """
        now = self._wall()
        line: dict[str, Any] = {"time": timestamp(now), "action": action}
        if caller is not None:
            connection, principal = caller.connection, caller.principal
            line["entity_id"] = caller.entity_id
            line["token_id"] = principal and principal.token_id
            client = None if connection is None else connection.client
            line["address"] = client and client.address
            if client is not None and client.proxy is not None:
                line["proxy"] = client.proxy
            line["connection_id"] = connection and connection.connection_id
        line.update(_cut(msgspec.to_builtins(details)))
        try:
            self._write(msgspec.json.encode(line) + b"\n")
        except OSError:
            self.log.failure("{action} could not be written to the audit log", event="audit.failed", action=action)

    def refused(self, action: str, caller: Caller, what: str, why: str, **details: Any) -> None:
        """Record something that was refused, since the caller may not do it.

        @param what: a method, or a method and what it was to be done to.
        @param details: JSON values.
        """
        second = int(self._wall())
        if second != self._second:
            dropped = self._refusals - REFUSALS_A_SECOND
            if dropped > 0:
                self.record("refusals.dropped", None, count=dropped)
            self._second, self._refusals = second, 0
        self._refusals += 1
        if self._refusals <= REFUSALS_A_SECOND:
            self.record(action, caller, what=printable(what), why=printable(why), **details)


def audit_lines(write: Callable[[bytes], Any], wall: Callable[[], float]) -> Lines:
    """What writes the lines of an audit log without holding anybody up.

    @param write: takes whole lines, and may raise L{OSError}.
    """

    def dropped(count: int) -> bytes:
        lines: list[bytes] = []
        Audit(lines.append, wall).record("lines.dropped", None, count=count)
        return lines[0]

    def failed() -> None:
        Audit.log.failure("lines could not be written to the audit log", event="audit.failed")

    return Lines(write, dropped, failed)


def _cut(value: Any) -> Any:
    """A value without what is too long in it."""
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}…"
    if isinstance(value, dict):
        return {name: _cut(each) for name, each in value.items()}
    if isinstance(value, list):
        rest = len(value) - MAX_ITEMS
        return [_cut(each) for each in value[:MAX_ITEMS]] + ([f"and {rest} more"] if rest > 0 else [])
    return value
