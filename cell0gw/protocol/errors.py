"""Every error that a peer may get: one table of error codes, one of close codes.

The numbers below -32000 are JSON-RPC 2.0's own (section 5.1); those from -32000 to -32010 are the gateway's.
The stable part for programs is ``error.data.code``; ``retryable`` says whether the same request may succeed later.

The docstrings of the errors are public text in Markdown: what an error means, and what the client does about it.
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
    """The message is not JSON, not UTF-8, or nested too deep: `message` says which. The `id` of the answer is null.

    Correct the message; `data.byte` says where reading it ended, in bytes from its beginning.
    """

    number, code, default = -32700, "parse_error", "Parse error"

    def __init__(self, message: str | None = None, *, byte: int | None = None) -> None:
        """@param byte: where reading the message ended, in bytes from its beginning; None: that is not known."""
        super().__init__(message, **_known(byte=byte))


class InvalidRequest(RPCError):
    """The message is JSON, but no JSON-RPC 2.0 request. `data.max_batch` is there if a batch is too long.

    Correct the message; split the batch.
    """

    number, code, default = -32600, "invalid_request", "Invalid Request"


class MethodNotFound(RPCError):
    """No service has such a method; `message` has its name.

    Correct the name: `data.near` has methods that look like it, and `rpc.listMethods` all. An older gateway may lack
    the method: see its `capabilities`.
    """

    number, code, default = -32601, "method_not_found", "Method not found"


class InvalidParams(RPCError):
    """A param is unknown, missing, malformed or of the wrong type; `message` says what fits, `data.path` where.

    Correct the params. `data.allowed` has all names or values that fit, where they are few; `data.near` those of them
    that look like what came.
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
        """@param path: which param: C{params.since.offset}, or C{params[0]} where they are an array.
        @param near: those of the values or names that fit which are like the one that was given.
        @param allowed: all values or names that fit, where they are few.
        """
        super().__init__(message, **_known(path=path, near=near, allowed=allowed), **data)


class InternalError(RPCError):
    """The gateway failed; its log has the whole story, the peer only this.

    Report it to the operator, with the time. What the request was to do may be done.
    """

    number, code, default = -32603, "internal_error", "Internal error"


class Unavailable(RPCError):
    """Storage fails, the gateway goes down, the connection is closing, or no agent is there that takes a call.

    Try again later, after `data.retry_after_ms` if it is there. `data.cause` says what is wrong with the disk, see
    docs/operations.md#when-the-disk-fails. `data.refusal` is what the last agent said that refused a call.
    """

    number, code, retryable, default = -32000, "unavailable", True, "Unavailable"


class NotAuthenticated(RPCError):
    """The method needs a session, or the token is wrong, expired or revoked.

    Call `auth.authenticate`; get another token if it is the token.
    """

    number, code, default = -32001, "not_authenticated", "Not authenticated"


class PermissionDenied(RPCError):
    """The token does not allow this. `data.permission` would, where a permission is missing.

    Get a token with the permission. `data.held` has those of the token for the same method. `gateway.explain` and the
    audit log say more.
    """

    number, code, default = -32002, "permission_denied", "Permission denied"


class RateLimited(RPCError):
    """Too much: calls, tokens, wrong ones, renewals, keys, connections, mail that waits, calls to agents, messages.

    Wait for `data.retry_after_ms`, then try again, slower. `data.limit` names the limit of tokens, mail and durable
    messages that was reached, see docs/protocol.md#tokens, docs/protocol.md#bounds and docs/operations.md#shares.
    """

    number, code, retryable, default = -32003, "rate_limited", True, "Rate limited"


class TimedOut(RPCError):
    """A call had no answer in time: `data.clock` says which time was over, `data.begun` whether an agent has begun.

    If `data.retryable` is true nobody has begun: call again. If it is false, only if the work may be done twice.
    """

    number, code, retryable, default = -32004, "timeout", True, "Timed out"


class TooLarge(RPCError):
    """The request, or the answer that it asks for, is beyond a limit.

    Send less, or ask for less. `connection.welcome` has the limits.
    """

    number, code, default = -32005, "too_large", "Too large"


class NotFound(RPCError):
    """Nobody and nothing by that name. `data.near` has names that look like it, where it is there.

    Correct the name, or wait until the one that it names is there.
    """

    number, code, default = -32006, "not_found", "Not found"


class Conflict(RPCError):
    """An idempotency key stands for other params, a position is of another epoch or lost, or a call has this id.

    Take another key or another id. Of a position `data.epoch` and `data.oldest`, or `data.lost`, say what is there.
    """

    number, code, default = -32007, "conflict", "Conflict"


class Fenced(RPCError):
    """What was said of an attempt at a task came too late: a later attempt has taken its place.

    Stop working on it: nothing of it counts any more. `data.attempt` is the number of the later one.
    """

    number, code, default = -32007, "fenced", "A later attempt has taken the place of this one"


class AgentFailed(RPCError):
    """The agent that had the call failed or was lost.

    Read `data.agent_error`, the error of the agent `data.agent_id`. Without it the agent was lost after it had begun.
    """

    number, code, default = -32008, "agent_failed", "The agent failed"


class Cancelled(RPCError):
    """The call was cancelled, by `agent.cancel`; `data.begun` says whether an agent has begun.

    Nothing: the caller wanted it.
    """

    number, code, default = -32009, "cancelled", "Cancelled"


class LoopDetected(RPCError):
    """A conversation goes in circles: `data.hops` replies in a row, too many in a minute, a call that waits for itself.

    Stop replying. If `data.retryable` is true, which is so when it was too fast: go on after `data.retry_after_ms`.
    """

    number, code, default = -32010, "loop", "Loop detected"


def _known(**data: Any) -> dict[str, Any]:
    """Members of C{error.data}, without those that are None."""
    return {name: value for name, value in data.items() if value is not None}


ERRORS: tuple[type[RPCError], ...] = (
    ParseError, InvalidRequest, MethodNotFound, InvalidParams, InternalError, Unavailable, NotAuthenticated,
    PermissionDenied, RateLimited, TimedOut, TooLarge, NotFound, Conflict, Fenced, AgentFailed, Cancelled, LoopDetected,
)  # fmt: skip


class CloseCode(IntEnum):
    """Why a connection ends. RFC 6455, section 7.4, and the private range.

    4000 to 4499 say: connect again, after a delay that is random and grows with each try. 4500 to 4999 say: don't,
    until something has changed. A connection that breaks without a code may be tried again. WebSocket itself adds 1002,
    a frame broke its rules; 1007, text was not UTF-8; and 1009, a message was longer than `max_message_size`.

    @ivar meaning: why, for people, in Markdown.
    @ivar advice: what the client does about it, in Markdown.
    """

    def __new__(cls, code: int, meaning: str, advice: str) -> CloseCode:
        """See L{CloseCode}."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.advice = meaning, advice
        return member

    meaning: str
    advice: str

    @property
    def reconnect(self) -> bool:
        """Whether the client is to connect again without any change."""
        return self == 1011 or 4000 <= self < 4500

    NORMAL = 1000, "The client closed the connection itself", "Nothing: the session is over"
    UNSUPPORTED_DATA = 1003, "A binary message came; this protocol is text", "Send text frames"
    POLICY_VIOLATION = (
        1008,
        "Too many fragments, or a message that took too long to come",
        "Send messages in fewer fragments, and whole ones without a pause",
    )
    INTERNAL_ERROR = 1011, "The gateway failed while it answered; its log says how", "Connect again"
    DRAINING = 4001, "The gateway goes down or restarts", "Connect again"
    HEARTBEAT_TIMEOUT = (
        4002,
        "Nothing came from the client for `heartbeat_timeout`",
        "Connect again; answer pings, or send the notification `heartbeat`",
    )
    SLOW_CONSUMER = (
        4008,
        "The client does not read fast enough: more waited than `outbound_limit` allows, or it took nothing",
        "Connect again and resume; read faster, or subscribe to less",
    )
    POSITION_LOST = (
        4010,
        "What the client was to get next is no longer held, or can't be read",
        "Connect again and resume: the channel is `recovered: false`",
    )
    TOO_MANY_REQUESTS = 4013, "Too many calls, frames or unfinished messages", "Connect again later, and send slower"
    FULL = 4014, "The gateway is full but for tokens of the type `system`", "Connect again later"
    BAD_TOKEN = 4500, "Five wrong tokens on one connection", "Get a valid token first"
    AUTHENTICATION_TIMEOUT = (
        4502,
        "No authentication in time, or none yet when the room for unauthenticated connections was needed",
        "Authenticate at once after connecting",
    )
    CONNECTION_LIMIT = 4504, "Too many connections from the client's address, or of its entity", "Close others first"
    TOKEN_ENDED = 4507, "The token was revoked or has expired", "Get another token first"
    TOO_MANY_ERRORS = 4509, "Too many requests that make no sense or are not allowed", "Correct the client first"
