"""How long the process has worked: what messages are charged by."""

from __future__ import annotations

import gc
import threading
import time
from functools import cache
from typing import Any


class Working:
    """Counts the seconds for which this thread has had a processor, but not those of the garbage collector: garbage is
    collected when it is time, and not for the message that is handled at that moment.
    """

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._began = self._collecting = 0.0

    def seconds(self) -> float:
        """The seconds so far."""
        return time.thread_time() - self._collecting

    def collected(self, phase: str, details: Any) -> None:
        """See L{gc.callbacks}."""
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collecting += time.thread_time() - self._began


@cache
def working() -> Working:
    """That of the thread which asks first."""
    made = Working()
    gc.callbacks.append(made.collected)
    return made
