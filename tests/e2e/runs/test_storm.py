"""Subscribers whose connections are cut at random: see C{tests.crash.storm}, of which this is the short form."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.e2e.processes import CHECKOUT, Process, environment

pytestmark = pytest.mark.long

SECONDS = 8
MODES = ("kept", "durable", "scarce", "trimmed")


@pytest.fixture(scope="module")
def storms() -> Iterator[dict[str, Process]]:
    """A storm of each mode, all at the same time."""
    command = [sys.executable, "-m", "tests.crash.storm", "--subscribers", "100", "--seconds", str(SECONDS)]
    started = {mode: Process([*command, "--mode", mode], environment(), CHECKOUT) for mode in MODES}
    try:
        yield started
    finally:
        for storm in started.values():
            storm.kill()


@pytest.mark.parametrize("mode", ["kept", "durable"])
def test_nothing_is_missing(storms: dict[str, Process], mode: str) -> None:
    """Whose connection is cut gets all that it missed, once and in order, from memory and from the disk."""
    assert storms[mode].wait(120) == 0, storms[mode].output
    storms[mode].wait_for(f"{mode}: 0 holes; nothing else is missing, doubled or out of order")


@pytest.mark.parametrize("mode", ["scarce", "trimmed"])
def test_holes_are_told_of(storms: dict[str, Process], mode: str) -> None:
    """Where less is held than is missed, whoever misses something is told so, and nobody else is."""
    assert storms[mode].wait(120) == 0, storms[mode].output
    storms[mode].wait_for(f"{mode}: [1-9][0-9]* holes, each was told of; nothing else is missing")
