"""What is asked of a database, and how those are told who asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from twisted.internet.defer import Deferred

Result = TypeVar("Result")

Work = Callable[[sqlite3.Connection], Result]
"""Something to do with the file, on the writer's thread."""


class Job(NamedTuple):
    """Something to do with the file; C{reads}: and it changes nothing."""

    work: Work[object]
    deferred: Deferred[Any]
    reads: bool


Outcome = tuple[Deferred[Any], object]
"""The outcome of a job, and the Deferred that waits for it."""


def deliver(outcomes: list[Outcome]) -> None:
    """Tell all who wait, on their own thread."""
    for deferred, outcome in outcomes:
        deferred.callback(outcome)  # a Failure takes the errback path
