"""Everything a peer may be told went wrong: one table of error codes, one of close codes.

The numbers below -32000 are JSON-RPC 2.0's own (section 5.1); those from -32000 to -32010 are the gateway's.
The stable part for programs is ``error.data.code``; ``retryable`` says whether the same request may succeed later.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, ClassVar


class RPCError(Exception):
    """A refusal that reaches the peer as a JSON-RPC error object.

    @param message: one sentence for people; it never holds secrets or internals.
    @param data: further members of C{error.data}, such as C{retry_after_ms} (milliseconds).
    """

    number: ClassVar[int] = -32603
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    default: ClassVar[str] = "Internal error"

    def __init__(self, message: str | None = None, **data: Any) -> None:
        super().__init__(message or self.default)
        self.message = message or self.default
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """The error object of JSON-RPC 2.0, section 5.1."""
        return {
            "code": self.number,
            "message": self.message,
            "data": {"code": self.code, "retryable": self.retryable, **self.data},
        }


class ParseError(RPCError):
    """The message is not JSON.

    @param byte: where reading it ended, in bytes from its beginning; None: that is not known.
    """

    number, code, default = -32700, "parse_error", "Parse error"

    def __init__(self, message: str | None = None, *, byte: int | None = None) -> None:
        super().__init__(message, **_known(byte=byte))


class InvalidRequest(RPCError):
    """The message is JSON, but no JSON-RPC 2.0 request."""

    number, code, default = -32600, "invalid_request", "Invalid Request"


class MethodNotFound(RPCError):
    """No service has such a method.

    @param near: methods with names like it.
    """

    number, code, default = -32601, "method_not_found", "Method not found"

    def __init__(self, message: str | None = None, *, near: Sequence[str] | None = None) -> None:
        super().__init__(message, **_known(near=near))


class InvalidParams(RPCError):
    """The parameters don't fit the method: unknown, missing or of the wrong type.

    @param path: which of them: C{params.since.offset}, or C{params[0]} where they are an array.
    @param near: those of the values or names that fit which are like the one that was given.
    @param allowed: all values or names that fit, where they are few.
    """

    number, code, default = -32602, "invalid_params", "Invalid params"

    def __init__(
        self,
        message: str | None = None,
        *,
        path: str | None = None,
        near: Sequence[str] | None = None,
        allowed: Sequence[str | int] | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message, **_known(path=path, near=near, allowed=allowed), **data)


class InternalError(RPCError):
    """The gateway failed; its log has the whole story, the peer only this."""

    number, code, default = -32603, "internal_error", "Internal error"


class Unavailable(RPCError):
    """The gateway is draining, or its storage is out of order: ask again later."""

    number, code, retryable, default = -32000, "unavailable", True, "Unavailable"


class NotAuthenticated(RPCError):
    """The method needs a session, or the token is no good."""

    number, code, default = -32001, "not_authenticated", "Not authenticated"


class PermissionDenied(RPCError):
    """The caller is known and may not do this.

    @param permission: one that would do.
    @param held: the permissions of the caller's token that are about the same method.
    @param path: the param for which a permission is missing, as of L{InvalidParams}.
    """

    number, code, default = -32002, "permission_denied", "Permission denied"

    def __init__(
        self,
        message: str | None = None,
        *,
        permission: str | None = None,
        held: Sequence[str] | None = None,
        path: str | None = None,
        **data: Any,
    ) -> None:
        super().__init__(message, **_known(permission=permission, held=held, path=path), **data)


class RateLimited(RPCError):
    """Too much, too fast; C{retry_after_ms} says when to come back."""

    number, code, retryable, default = -32003, "rate_limited", True, "Rate limited"


class TimedOut(RPCError):
    """No answer in time; whether the work was done is unknown."""

    number, code, retryable, default = -32004, "timeout", True, "Timed out"


class TooLarge(RPCError):
    """The request, or the answer it asks for, is beyond a limit."""

    number, code, default = -32005, "too_large", "Too large"


class NotFound(RPCError):
    """Nobody and nothing by that name."""

    number, code, default = -32006, "not_found", "Not found"


class Conflict(RPCError):
    """Something else already holds that name, key or state."""

    number, code, default = -32007, "conflict", "Conflict"


class AgentFailed(RPCError):
    """The agent that had the work failed or was lost."""

    number, code, default = -32008, "agent_failed", "The agent failed"


class Cancelled(RPCError):
    """The work was cancelled before it ended."""

    number, code, default = -32009, "cancelled", "Cancelled"


class LoopDetected(RPCError):
    """A conversation between agents went in circles."""

    number, code, default = -32010, "loop", "Loop detected"


def _known(**data: Any) -> dict[str, Any]:
    """Members of C{error.data}, without those that are None."""
    return {name: value for name, value in data.items() if value is not None}


ERRORS: tuple[type[RPCError], ...] = (
    ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError, Unavailable, NotAuthenticated,
    PermissionDenied, RateLimited, TimedOut, TooLarge, NotFound, Conflict, AgentFailed, Cancelled, LoopDetected,
)  # fmt: skip


class CloseCode(IntEnum):
    """Why a connection ends. RFC 6455, section 7.4, and the private range.

    4000 to 4499, and 1011, say: connect again (with a growing, random delay). 4500 to 4999 say: don't, until something
    has changed.
    """

    NORMAL = 1000
    UNSUPPORTED_DATA = 1003  # binary frames; this protocol is text
    POLICY_VIOLATION = 1008  # too many fragments, or a message that never ends
    INTERNAL_ERROR = 1011
    DRAINING = 4001  # the gateway goes down or restarts: reconnect
    HEARTBEAT_TIMEOUT = 4002  # nothing was heard for the heartbeat timeout
    SLOW_CONSUMER = 4008  # read faster, then reconnect and recover
    POSITION_LOST = 4010  # a gap would have been silent: reconnect and recover
    TOO_MANY_REQUESTS = 4013  # back off, then reconnect
    BAD_TOKEN = 4500  # five wrong tokens on one connection
    AUTHENTICATION_TIMEOUT = 4502  # no authentication in time
    CONNECTION_LIMIT = 4504  # too many connections from this address
    TOKEN_ENDED = 4507  # the token was revoked or has expired
    TOO_MANY_ERRORS = 4509  # requests that make no sense, or are not allowed
