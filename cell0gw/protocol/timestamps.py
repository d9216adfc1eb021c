"""Moments as they stand on the wire: UTC, ISO 8601, ending in ``Z``."""

from __future__ import annotations

import functools
from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """
    @param seconds: seconds since the epoch, as from a clock.
    @return: for example C{"2026-02-12T10:30:00.250Z"}; milliseconds, so that equal seconds still have an order.
    """
    return _of_milliseconds(int(seconds * 1000 + 0.0005))  # 0.1 is a little less in binary


@functools.lru_cache(maxsize=64)
def _of_milliseconds(milliseconds: int) -> str:
    """Of all that happens in a millisecond the text is made once."""
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03}Z"
