"""Engines: where publications are numbered and what must outlive the process is kept."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A place in a channel: C{offset} counts publications from 1 (0: none yet) within one C{epoch}."""

    offset: int
    epoch: str
