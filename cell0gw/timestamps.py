"""Moments as they stand on the wire: UTC, ISO 8601, ending in ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime


def timestamp(seconds: float) -> str:
    """
    @param seconds: seconds since the epoch, as from a clock.
    @return: for example C{"2026-02-12T10:30:00.250Z"}; milliseconds, so that equal seconds still have an order.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
