"""Memory that is free again goes back to the system."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

BLOCK: Final = 1024 * 1024
"""Bytes from which on a block of memory is the system's own, and goes back to it as soon as it is free."""

_M_MMAP_THRESHOLD: Final = -3  # of mallopt(3)


def tune_allocator() -> bool:
    """Let long blocks go back to the system at once.

    glibc takes the first one that is freed as a reason to keep all like it, up to 32 MiB, within the heap: a few
    messages of 10 MiB leave the process 50 MiB larger for good.

    @return: whether the C library can do so; others than glibc have no need to.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, BLOCK))
    except (AttributeError, OSError):
        return False


def trim() -> None:
    """Give all memory back to the system that is free, short blocks included; nothing happens where that can't be."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
