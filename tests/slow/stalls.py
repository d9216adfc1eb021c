"""Those who take nothing any more: closed in time, and told with which code, if they come back in time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from cell0gw.config.options import Config
from cell0gw.guard.heartbeat import LINGER
from cell0gw.protocol.errors import CloseCode
from cell0gw.transports.sockets.backlog import STALL
from tests.slow.line import TICK, SlowLine
from tests.slow.stage import Stage

GRACE: Final = 5.0
"""Seconds that the end may come later than promised: the gateway looks once a second, and the machine is busy."""


class Stall(NamedTuple):
    """A client that stalls.

    @ivar size: bytes of the message that waits for it.
    @ivar code: what it is closed with.
    @ivar bound: seconds within which that is.
    @ivar comes_back: whether it reads on as soon as it is closed; else only once its connection was cut.
    """

    size: int
    code: int
    bound: float
    comes_back: bool

    def __str__(self) -> str:
        return f"stalls, {'comes back' if self.comes_back else 'stays away'}"


BEGUN: Final = 64 * 1024
"""Bytes that it takes before that."""
LONG: Final = 9_000_000
SHORT: Final = Config().outbound_limit // 2
STALLS: Final = tuple(
    Stall(size, code, bound, comes_back)
    for size, code, bound in (
        (LONG, CloseCode.SLOW_CONSUMER, STALL),
        (SHORT, CloseCode.HEARTBEAT_TIMEOUT, Config().heartbeat_timeout),
    )
    for comes_back in (True, False)
)
"""With the options as they are."""


def stall(stage: Stage, line: SlowLine, kind: Stall) -> float:
    """Let a client stall in the middle of a message, on a line of its own.

    @return: after how many seconds it was closed.
    """
    name = stage.name("stalled")
    with stage.reading(line, stage.token(name)) as reader, stage.quick() as admin:
        reader.call("channel.subscribe", channel=name)
        admin.call("channel.publish", channel=name, message="x" * kind.size)
        _wait(lambda: line.passed > BEGUN, 60)
        line.stopped.set()
        began = time.monotonic()
        ended = re.compile(rf" {name} (?:lost|closed) .*: {kind.code} ")
        _wait(lambda: any(ended.search(text) for text in stage.gateway.lines), kind.bound + GRACE)
        took = time.monotonic() - began
        if not kind.comes_back:
            _wait(line.is_cut, LINGER + GRACE)
        line.stopped.clear()
        code = reader.close_code()
        assert code == (kind.code if kind.comes_back else None), f"it saw {code}"
        return took


def _wait(arrived: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, for so long at most."""
    deadline = time.monotonic() + seconds
    while not arrived():
        assert time.monotonic() < deadline, f"it was not closed within {seconds:g} s"
        time.sleep(TICK)
