"""Failures that nobody waits for."""

from __future__ import annotations

from twisted.python.failure import Failure


def reported_already(failure: Failure) -> None:
    """Drop a failure of a store where nobody waits for the outcome: the store has reported it to the operator, and the
    caller asks again, or can do without.
    """
