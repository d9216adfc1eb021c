"""Whoever takes too long: each is let go of in time, while others are served."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Thread

import pytest

from tests.e2e.inputs.peer import Peer
from tests.e2e.inputs.slow import SLOW, Slow
from tests.e2e.inputs.watch import Watch, watched
from tests.e2e.processes import ADMIN_TOKEN

pytestmark = pytest.mark.long

LATE = 25.0
"""How many seconds late a busy machine may be; a limit that is none is found all the same."""


class Waiting:
    """One of the slow, on a thread of its own: all of them wait at the same time.

    @ivar seconds: after how many it was let go of.
    """

    def __init__(self, watch: Watch, case: Slow) -> None:
        self.case = case
        self.peer = Peer(watch.gateway.port)
        self.peer.socket.settimeout(case.seconds + LATE + 10)
        if case.opened or case.session:
            self.peer.open()
        if case.session:
            self.peer.call("auth.authenticate", token=ADMIN_TOKEN)
        self._began = time.monotonic()
        self.seconds: float | None = None
        self.peer.send(case.sent)
        self.rest = b""
        self.threads = [Thread(target=self._read, daemon=True), Thread(target=self._drip, daemon=True)]
        for thread in self.threads:
            thread.start()

    def _drip(self) -> None:
        while self.case.drip and self.seconds is None and self.peer.send(self.case.drip):
            time.sleep(1)

    def _read(self) -> None:
        if self.case.ends is None:
            self.rest = self.peer.rest()
        else:
            self.peer.until_the_end()
        self.seconds = time.monotonic() - self._began


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A gateway with the limits that it has by default."""
    yield from watched(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="module")
def waiting(watch: Watch) -> Iterator[dict[str, Waiting]]:
    """All of the slow, who have begun at the same time."""
    begun = {case.name: Waiting(watch, case) for case in SLOW}
    watch.check()
    yield begun
    for one in begun.values():
        one.peer.socket.close()
    watch.check()


@pytest.mark.parametrize("case", SLOW, ids=lambda case: case.name)
def test_slow(waiting: dict[str, Waiting], case: Slow) -> None:
    """Whoever takes longer than there is time for is let go of, and neither before that nor much later."""
    one = waiting[case.name]
    for thread in one.threads:
        thread.join(case.seconds + LATE + 10)
    assert one.seconds is not None, "it is still connected"
    assert case.seconds - 0.5 <= one.seconds <= case.seconds + LATE
    assert one.rest == b""
    assert one.peer.close_code == case.ends
