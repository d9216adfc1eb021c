"""Memory that is free again goes back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from cell0gw.process.allocator import BLOCK, tune_allocator

PROGRAM = f"""
import re
from cell0gw.process.allocator import tune_allocator

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

tune_allocator()
before = resident()
blocks = [b"x" * {8 * BLOCK} for _ in range(10)]
between = [b"y" * 100_000 for _ in range(10)]
full = resident()
del blocks
print(full - before, resident() - before)
"""


class AllocatorTests(SynchronousTestCase):
    """L{tune_allocator}."""

    def test_long_blocks(self) -> None:
        """Of long blocks that are free nothing is kept."""
        if not tune_allocator():
            raise SkipTest("this is not glibc")
        # A process of its own: in this one's heap there may be room for the blocks already.
        told = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
        full, left = map(int, told.split())
        self.assertGreater(full, 79 * BLOCK)
        self.assertLess(left, 8 * BLOCK)

    def test_other_libraries(self) -> None:
        """Where there is no such thing nothing happens."""

        def without(name: Any) -> object:
            return object()

        self.patch(ctypes, "CDLL", without)
        self.assertFalse(tune_allocator())
