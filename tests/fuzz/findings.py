"""What all targets have in common: what counts as a finding, and the gateway that they feed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from twisted.internet.address import IPv4Address
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from cell0gw.testing import MemoryGateway
from tests.transports.memory import MemoryTransport

ADDRESS: Final = IPv4Address("TCP", "192.0.2.1", 50000)


TEXT: Final = 0x81
CLOSE: Final = 0x88


class Finding(AssertionError):
    """Something that must hold does not."""


class Target(Protocol):
    """What is fuzzed. An instance takes many inputs; whatever one leaves behind meets the next."""

    seeds: dict[str, bytes]
    words: list[bytes]

    def run(self, data: bytes) -> None:
        """Take one input.

        @raise Finding: something does not hold.
        """

    def close(self) -> None:
        """Let go of the gateway."""


def check(holds: object, what: str, *details: object) -> None:
    """
    @raise Finding: it does not hold.
    """
    if not holds:
        raise Finding(": ".join([what, *(f"{detail!r:.2000}" for detail in details)]))


@contextmanager
def nothing_is_logged() -> Iterator[None]:
    """An error in the log is one that nobody foresaw."""
    events: list[Any] = []

    def observe(event: Any) -> None:
        if event["log_level"] >= LogLevel.error:
            events.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observe)
    for event in events:
        failure = event.get("log_failure")
        raise Finding(f"logged: {formatEvent(event)} {failure.getTraceback() if failure else ''}")


def connect(gateway: MemoryGateway) -> tuple[Any, MemoryTransport]:
    """The protocol of a new connection, nothing received yet, and its transport."""
    server: Any = gateway.factory.buildProtocol(ADDRESS)
    return server, MemoryTransport(server)


def pass_time(gateway: MemoryGateway, seconds: int) -> None:
    """Let time pass, second by second."""
    for _ in range(seconds):
        gateway.clock.advance(1)


def spoken(written: bytes) -> list[tuple[int, bytes]]:
    """The frames that the gateway has written: their first bytes and payloads.

    @raise Finding: they are none, are masked, or go on after a close.
    """
    frames, place = [], 0
    while place < len(written):
        first, length, start = written[place], written[place + 1], place + 2
        if length in (126, 127):
            start += 2 if length == 126 else 8
            length = int.from_bytes(written[place + 2 : start], "big")
        check(length < 1 << 31 and len(written) >= start + length, "not a whole frame", written)
        check(not frames or frames[-1][0] != CLOSE, "more after a close", written)
        frames.append((first, written[start : start + length]))
        place = start + length
    return frames


def retained(server: Any) -> int:
    """How many bytes of what came a connection holds."""
    slots = [name for kind in type(server).__mro__ for name in getattr(kind, "__slots__", ())]
    return sum(map(_size, [*vars(server).values(), *(getattr(server, name, None) for name in slots)]))


def _size(value: Any) -> int:
    if isinstance(value, bytes | bytearray | str):
        return len(value)
    if isinstance(value, list | tuple | deque):
        return sum(map(_size, value)) + 8 * len(value)
    return 0
