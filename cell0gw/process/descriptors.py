"""How many files the process may open: each connection is one."""

from __future__ import annotations

import contextlib
import resource


def raise_file_limit() -> None:
    """Let the process open as many files, and so connections, as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where the system takes no limit that is infinite
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def open_file_limit() -> int:
    """How many files the process may open now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
