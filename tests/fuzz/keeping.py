"""Which inputs are worth keeping: those that reach lines of the gateway that smaller ones do not."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.targets import CORPUS, TARGETS, Feeder, read_inputs

LONGEST: Final = 1000
"""Longer inputs are not kept, whatever they reach."""

ENOUGH: Final = 10
"""An input is kept for so many steps that no smaller one makes."""

PARTS: Final = ("/cell0gw/", "/autobahn/")


def reach(feeder: Feeder, data: bytes) -> set[tuple[str, int, int]]:
    """Each step from line to line that an input leads to."""
    steps: set[tuple[str, int, int]] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        name, before = frame.f_code.co_filename, 0
        if not any(part in name for part in PARTS):
            return None

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal before
            steps.add((name, before, frame.f_lineno))
            before = frame.f_lineno
            return line

        return line

    former = sys.gettrace()
    sys.settrace(enter)
    try:
        feeder(data)
    finally:
        sys.settrace(former)
    return steps


def keep(name: str, found: Path, corpus: Path = CORPUS) -> int:
    """Add to the corpus what reaches more.

    @param found: the folder of what the fuzzer has found.
    @param corpus: has a folder for each target.
    @return: how many inputs were added.
    """
    feeder, known, kept = Feeder(name), set(), 0
    for data in (*TARGETS[name].seeds.values(), *read_inputs([corpus / name]).values()):
        known |= reach(feeder, data)
    for data in sorted(read_inputs([found]).values(), key=len):
        if len(data) <= LONGEST and len(steps := reach(feeder, data) - known) >= ENOUGH:
            known |= steps
            kept += 1
            (corpus / name / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
    return kept
