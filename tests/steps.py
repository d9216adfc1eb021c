"""How much work something is, in steps of the interpreter: the same on every machine, and however busy it is."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Final

TOOL: Final = 4
"""One of the two numbers that C{sys.monitoring} leaves to tools without a name of their own."""


def steps(work: Callable[[], object]) -> int:
    """Do something and count the instructions that Python carries out for it. What C does within one of them, such as
    sorting, counts once.
    """
    collected = gc.isenabled()
    gc.disable()  # finalizers of what others have left are Python, too
    try:
        return monitored(work) if sys.version_info >= (3, 12) else traced(work)
    finally:
        if collected:
            gc.enable()


def monitored(work: Callable[[], object]) -> int:
    """See L{steps}. Since 3.12 a code that is traced for the first time is not traced from its beginning."""
    if sys.version_info < (3, 12):
        raise NotImplementedError
    count, watching = 0, sys.monitoring

    def carried_out(code: CodeType, offset: int) -> None:
        nonlocal count
        count += 1

    watching.use_tool_id(TOOL, "steps")
    try:
        watching.register_callback(TOOL, watching.events.INSTRUCTION, carried_out)
        watching.set_events(TOOL, watching.events.INSTRUCTION)
        try:
            work()
        finally:
            watching.set_events(TOOL, watching.events.NO_EVENTS)
    finally:
        watching.free_tool_id(TOOL)
    return count


def traced(work: Callable[[], object]) -> int:
    """See L{steps}."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        frame.f_trace_lines = False
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def growth(work: Callable[[int], Callable[[], object]], size: int) -> float:
    """How many times as much work it is for twice the size.

    @param work: makes ready for a size, which is not counted, and gives what is.
    """
    once = steps(work(size))
    return steps(work(2 * size)) / max(once, 1)
