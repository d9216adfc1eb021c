"""What the commands of this folder have in common: a seed, a state folder, and what a violation leaves behind."""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from tests.crash.wire import Violation


class Endable(Protocol):
    """A run of cycles."""

    def end(self) -> None:
        """Let go of its processes."""


def parser(module: str, doc: str | None, cycles: int) -> argparse.ArgumentParser:
    """The options that every command has."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=doc)
    made.add_argument("--cycles", type=int, default=cycles)
    made.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="decides whatever is random")
    return made


def perform(
    options: argparse.Namespace,
    make: Callable[[Path, random.Random], Any],
    cycles: Callable[[Any, int], Coroutine[Any, Any, None]],
) -> int:
    """Run the cycles; after a violation the state folder is kept.

    @return: the exit status: 1 after a violation.
    """
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    run: Endable = make(folder, random.Random(options.seed))
    try:
        asyncio.run(cycles(run, options.cycles))
    except BaseException as problem:
        if isinstance(problem, Violation):
            print(f"VIOLATION with --seed {options.seed}: {problem}\nthe state folder is kept in {folder}")
            return 1
        print(f"not finished, --seed {options.seed}, {folder}: {problem!r}", file=sys.stderr)
        raise
    finally:
        run.end()
    shutil.rmtree(folder)
    return 0


async def until(work: Coroutine[Any, Any, None], failed: asyncio.Future[None]) -> None:
    """Do some work, unless something fails elsewhere meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, failed), return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
        await task
    finally:
        task.cancel()
