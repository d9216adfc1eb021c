"""Throttles of tests."""

from __future__ import annotations

from cell0gw.guard.throttle import Throttle
from cell0gw.protocol.limits import Limits


def unthrottled(limits: Limits) -> Throttle:
    """A throttle at a time that stands still, whose alarms nobody hears."""
    return Throttle(limits, lambda: 0.0, lambda limit, by: None)
