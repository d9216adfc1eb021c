"""twistd in a process whose wall clock can be set: the last line of the input says by how many seconds it is ahead."""

import sys
import time
from threading import Thread

ahead = [0.0]
true = time.time
time.time = lambda: true() + ahead[0]  # before Twisted looks


def listen() -> None:
    for line in sys.stdin:
        ahead[0] = float(line)
        print(f"ahead by {ahead[0]:.0f}")


Thread(target=listen, daemon=True).start()

from twisted.scripts.twistd import run  # noqa: E402

run()
