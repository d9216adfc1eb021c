"""Clients on slow lines: what is allowed arrives, however long that takes; who takes nothing is closed, and is told.

This is the short form, on lines and with options that make it short: C{make slow} has long messages, and the options as
they are.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from websockets.exceptions import ConnectionClosed

from bench.certificate import make_certificate
from tests.e2e.conftest import StartGateway
from tests.e2e.processes import CHECKOUT, environment
from tests.slow.line import SlowLine
from tests.slow.stage import Stage, staged
from tests.slow.stalls import Stall, stall
from tests.slow.ways import WAYS, content

pytestmark = pytest.mark.long
KIB: Final = 1024
LIMIT: Final = 64 * KIB
SIZES: Final = (LIMIT, 10 * LIMIT)
RATE: Final = 256 * KIB
"""Bytes a second: the longer of these messages takes more than twice the timeout of a heartbeat."""

HASTY: Final = (
    "--outbound-limit", "64KiB", "--heartbeat-interval", "0.5", "--heartbeat-timeout", "2", "--history-bytes", "32MiB"
)  # fmt: skip


@pytest.fixture(params=["plain", "TLS"])
def certificate(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    """None: without TLS."""
    return make_certificate(tmp_path) if request.param == "TLS" else None


@contextmanager
def hasty(start_gateway: StartGateway, certificate: Path | None) -> Iterator[tuple[Stage, SlowLine]]:
    """A gateway that waits for little and not for long, and a line to it."""
    with staged(start_gateway, certificate, *HASTY) as stage, SlowLine(stage.gateway.port, RATE) as line:
        yield stage, line


def test_what_is_allowed_arrives(start_gateway: StartGateway, certificate: Path | None) -> None:
    """Messages as long as C{outbound_limit}, and ten times as long, arrive over a slow line as answers, publications,
    recovered ones, letters and calls, all at once; heartbeats and small messages, which go on, arrive as well."""
    with hasty(start_gateway, certificate) as (stage, line), ThreadPoolExecutor(len(WAYS) * len(SIZES) + 1) as pool:
        ticking = pool.submit(stage.tick)
        try:
            for each in [pool.submit(way, stage, line, size) for way in WAYS.values() for size in SIZES]:
                each.result()
        finally:
            stage.enough.set()
        ticking.result()


def test_the_long_form(tmp_path: Path) -> None:
    """A part of C{make slow}: a table with the time that each took, and exit status 0."""
    asked = ["--size", "0.5", "--speed", "20", "--transport", "plain", "--way", "live", "--way", "mail"]
    command = [sys.executable, "-m", "tests.slow", *asked]
    run = subprocess.run(
        command, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, timeout=300, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    *_, head, live, mail, held = run.stdout.splitlines()
    assert head.split() == ["way", "size", "20", "Mbit/s"]
    assert [row.split()[:4] + row.split()[5:] for row in (live, mail)] == [
        ["plain", way, "0.5", "MB", "s", "ok"] for way in ("live", "mail")
    ]
    assert held.startswith("2 of 2 held, in ")


def test_too_much(start_gateway: StartGateway, certificate: Path | None) -> None:
    """Who reads, but more slowly than it gets, is closed with 4008, and sees that, behind all that was sent before."""
    with (
        hasty(start_gateway, certificate) as (stage, line),
        stage.quick() as admin,
        stage.reading(line, stage.token("slow")) as reader,
    ):
        reader.call("channel.subscribe", channel="news")
        began, number = time.monotonic(), 0
        admin.call("channel.publish", channel="news", message="x" * 10 * LIMIT)
        while admin.call("channel.publish", channel="news", message=[number, "y" * 1000])["recipients"]:
            number += 1
        assert time.monotonic() - began < 5
        assert number * 1000 < 4 * LIMIT
        got = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                got.append(content(reader, "news"))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4008
        first, *others = got
        assert first == "x" * 10 * LIMIT
        assert others == [[place, "y" * 1000] for place in range(len(others))]


@pytest.mark.parametrize("comes_back", [True, False])
def test_stalled(start_gateway: StartGateway, certificate: Path | None, comes_back: bool) -> None:
    """Who takes nothing any more is closed in time; if it reads on before the connection is aborted, it sees the code,
    else that it was cut off."""
    with hasty(start_gateway, certificate) as (stage, line):
        assert stall(stage, line, Stall(4 * LIMIT, 4002, 30, comes_back)) > 0
