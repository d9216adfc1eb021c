"""Log observers: text for people, JSON lines for pipelines."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import select
from abc import ABC, abstractmethod
from typing import Any, Final, TextIO

import msgspec
from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
)
from zope.interface import implementer

from cell0gw.process.lines import Lines
from cell0gw.protocol.printable import printable
from cell0gw.protocol.timestamps import timestamp

FIELDS: Final = (
    "event", "connection_id", "entity_id", "session_id", "token_id", "method", "address", "peer", "proxy", "reason",
    "cause",
)  # fmt: skip
"""What a JSON line has beside its time, level, logger and message, where it is known; and the close code, a number."""

_OWN_NAMES: Final = {"log_legacy": "twisted", "twisted.scripts._twistd_unix.UnixAppLogger": "twisted.twistd"}
"""What loggers are called whose names say nothing to an operator."""

_PORT_STARTS: Final = re.compile(r"Gateway( \(TLS\))? starting on ").match

_MAX_MESSAGE: Final = 2000
"""Maximum characters of a message, and of a line of a traceback."""


@implementer(ILogObserver)
class _Writer(ABC):
    """Writes each event, at once until L{start}.

    @param stream: where to write; None: nowhere, as where standard output is closed.
    @ivar lines: what has still to be written.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._descriptor: int | None = None
        self.lines = Lines(self._write, self._dropped)

    def __call__(self, event: LogEvent) -> None:
        """See L{ILogObserver}."""
        self.lines.add(self._line(event))

    def start(self) -> None:
        """Have a thread write from now on, past the stream: Python locks that while it is written to, and could not
        end then.
        """
        with contextlib.suppress(AttributeError, OSError):  # no file, but something that writes by itself
            self._descriptor = None if self._stream is None else self._stream.fileno()
        self.lines.start()
        atexit.register(self.lines.finish)

    def _line(self, event: LogEvent) -> bytes:
        return self.text_of(event).encode(self._encoding, "backslashreplace")

    def _write(self, lines: bytes) -> None:
        if self._stream is None:
            return
        if self._descriptor is None:
            self._stream.write(lines.decode(self._encoding))
            self._stream.flush()
        else:
            write_all(self._descriptor, lines)

    def _dropped(self, count: int) -> bytes:
        """The line that says how many are missing."""
        events: list[LogEvent] = []
        log = Logger(observer=events.append)  # type: ignore[arg-type]  # any callable is one
        log.warn(
            "{count} lines are missing here: what reads the log, or its disk, did not keep up",
            event="log.dropped",
            count=count,
        )
        return self._line(events[0])

    @abstractmethod
    def text_of(self, event: LogEvent) -> str:
        """An event in whole lines."""


class TextObserver(_Writer):
    """One line an event, and the traceback of a failure below it."""

    def text_of(self, event: LogEvent) -> str:
        """See L{_Writer}."""
        line = f"{_time(event)} [{_level(event)}] {_message(event)}\n"
        if event.get("log_failure") is not None:
            line += "".join(f"    {row}\n" for row in _traceback(event))
        return line


class JSONObserver(_Writer):
    """One JSON object a line: C{time}, C{level}, C{logger}, C{message}, what of L{FIELDS} is known, C{code},
    C{traceback}.
    """

    def text_of(self, event: LogEvent) -> str:
        """See L{_Writer}."""
        namespace = event.get("log_namespace", "")
        line: dict[str, Any] = {
            "time": _time(event),
            "level": _level(event),
            "logger": _OWN_NAMES.get(namespace, namespace),
            "message": _message(event),
        }
        line.update((name, printable(str(event[name]))) for name in FIELDS if event.get(name) is not None)
        if isinstance(event.get("code"), int):
            line["code"] = int(event["code"])
        if event.get("log_failure") is not None:
            line["traceback"] = "\n".join(_traceback(event))
        return msgspec.json.encode(line).decode() + "\n"


class Threshold(LogLevelFilterPredicate):
    """Lets through what is important enough.

    @param level: the option C{log_level}.
    """

    def __init__(self, level: str) -> None:
        super().__init__()
        self.set(level)

    def set(self, level: str) -> None:
        """From now on, by another level."""
        self.setLogLevelForNamespace("", LogLevel.levelWithName(level))


@implementer(ILogFilterPredicate)
class SaidAlready:
    """Keeps back what ports write of where they listen: the gateway says it itself, with the address."""

    def __call__(self, event: LogEvent) -> Any:
        """See L{ILogFilterPredicate}."""
        text = event.get("log_text")
        said = isinstance(text, str) and _PORT_STARTS(text) is not None
        return PredicateResult.no if said else PredicateResult.maybe


@implementer(ILogFilterPredicate)
class OncePerSecond:
    """Lets through one a second of the lines that ports write for each socket for which there is no descriptor."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}

    def __call__(self, event: LogEvent) -> Any:
        """See L{ILogFilterPredicate}."""
        text = event.get("log_format")
        if not isinstance(text, str) or "EMFILE" not in text:
            return PredicateResult.maybe
        second = int(event.get("log_time", 0.0))
        if self._last.get(text) == second:
            return PredicateResult.no
        self._last[text] = second
        return PredicateResult.maybe


class GatewayLog(FilteringLogObserver):
    """The observer for the options C{log_format} and C{log_level}.

    @param stream: where to write.
    @ivar lines: what has still to be written.
    @ivar start: has a thread write from now on; until then each line is written at once.
    """

    def __init__(self, log_format: str, threshold: Threshold, stream: TextIO | None) -> None:
        writer = JSONObserver(stream) if log_format == "json" else TextObserver(stream)
        super().__init__(writer, [threshold, SaidAlready(), OncePerSecond()])
        self.lines = writer.lines
        self.start = writer.start


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of something, waiting for as long as it takes, also where somebody has made the descriptor one that
    does not wait.

    @raise OSError: it can't be written.
    """
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _time(event: LogEvent) -> str:
    return timestamp(event.get("log_time", 0.0))


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


def _message(event: LogEvent) -> str:
    # What a peer put into an event must not begin a line or move the cursor, no matter who wrote the event.
    return printable(_formatted(event), _MAX_MESSAGE)


def _formatted(event: LogEvent) -> str:
    """The same as Twisted's L{formatEvent}, which takes ten times as long: a connection costs two lines."""
    text = event.get("log_format")
    if type(text) is str and "()" not in text and "log_flattened" not in event:  # calls are Twisted's own addition
        try:
            return text.format_map(event)
        except Exception:
            pass  # what is wrong with it, Twisted tells
    return formatEvent(event)


def _traceback(event: LogEvent) -> list[str]:
    return [printable(row, _MAX_MESSAGE) for row in event["log_failure"].getTraceback().splitlines()]
