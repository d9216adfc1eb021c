"""All that a program needs for methods of its own: C{from cell0gw.api import Name, NotFound, permission}.

What is not here, nor in L{cell0gw.testing}, may move.
"""

from __future__ import annotations

from cell0gw.channels.rules import ChannelRule
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.protocol.errors import (
    AgentFailed,
    Cancelled,
    CloseCode,
    Conflict,
    InvalidParams,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    RateLimited,
    RPCError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from cell0gw.protocol.subjects import Name, Pattern
from cell0gw.rpc.access import anonymous_read, anyone, permission, session
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import ICaller

__all__ = [
    "AgentFailed", "Cancelled", "ChannelRule", "CloseCode", "Conflict", "Counts", "Ending", "EndingKind", "ICaller",
    "ISessionObserver", "IStatistics", "InvalidParams", "Name", "NotAuthenticated", "NotFound", "Pattern",
    "PermissionDenied", "RPCError", "RateLimited", "TimedOut", "TooLarge", "Unavailable", "anonymous_read", "anyone",
    "permission", "session",
]  # fmt: skip
