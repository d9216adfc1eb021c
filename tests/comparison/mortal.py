"""A worker that takes one message, says that it has begun, and then only waits to be killed:
C{python -m tests.comparison.mortal MODULE CLASS JSON}.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

from tests.comparison.parties import Desk
from tests.e2e.processes import CHECKOUT, PATIENCE, Process, environment


def start(desk: Desk) -> Process:
    """A worker in a process of its own, which has begun with what was next."""
    command = [sys.executable, "-m", "tests.comparison.mortal", type(desk).__module__, type(desk).__name__]
    worker = Process([*command, json.dumps(desk.params())], environment(), CHECKOUT)
    try:
        worker.wait_for("^begun$")
    except BaseException:
        worker.kill()
        raise
    return worker


def main(module: str, name: str, params: str) -> None:
    """The command."""
    receiver = getattr(importlib.import_module(module), name)(**json.loads(params)).receiver()
    letter = receiver.take(PATIENCE)
    assert letter is not None, "nothing came"
    receiver.working(letter)
    print("begun", flush=True)
    time.sleep(3600)


if __name__ == "__main__":
    main(*sys.argv[1:])
