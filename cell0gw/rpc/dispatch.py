"""From a message to its answer: find the method, authorise, decode the params, call, turn failures into errors.

This is the only place where an exception becomes an answer, and the only place that says no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CoroutineType
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw
from msgspec.structs import asdict
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.auth.permissions import Permissions
from cell0gw.guard.guard import Guard
from cell0gw.process.interfaces import IDraining, IReconfigurable
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import (
    InternalError,
    InvalidRequest,
    MethodNotFound,
    NotAuthenticated,
    PermissionDenied,
    RPCError,
    TooLarge,
    Unavailable,
)
from cell0gw.protocol.jsonrpc import Entry, NotARequest, Request, Response
from cell0gw.protocol.printable import printable
from cell0gw.rpc import batches
from cell0gw.rpc.authorisation import allows, authorise, check_anonymous
from cell0gw.rpc.lookup import Lookup
from cell0gw.rpc.methods import ALLOWED_WHILE_DRAINING, HEARTBEAT, Method
from cell0gw.sessions.registry import Sessions
from cell0gw.sessions.session import Caller, Session

_AT_ONCE: Final = (msgspec.Struct, Raw, str, dict, list, type(None))
"""What most results are. Asking whether something is a Deferred takes longer: that is an abstract base class."""

Answer = bytes | None
"""What goes back to the peer; None after notifications."""


class _Options(Protocol):
    """What is asked of the options."""

    @property
    def anonymous_reads(self) -> bool: ...


@implementer(IDraining, IReconfigurable)
class Dispatcher:
    """Calls the C{rpc_} methods of the services in a collection.

    @param services: C{channel.publish} is the method C{rpc_publish} of the one named C{channel}.
    @param guard: limits the rate of requests, and is notified when permission was denied.
    @param sessions: asked for the date at each call, and swept when one comes of a session whose token has expired.
    @param answered: called with a session and its L{Response} to a request of the gateway's; or with one that has
        neither result nor error, when something came under a string as its id that is neither call nor answer.
    @param anonymous_reads: whether anonymous clients may use the methods declared as L{anonymous_read}.
    @ivar calls: how many requests and notifications were accepted; C{errors}: how many failed.
    """

    log = Logger()

    def __init__(
        self,
        services: MultiService,
        guard: Guard,
        sessions: Sessions,
        answered: Callable[[Session, Response], None],
        anonymous_reads: bool = True,
    ) -> None:
        self._limits = guard.limits
        self._throttle = guard.throttle
        self._audit = guard.audit
        self._wall = sessions.wall
        self._end_expired = sessions.sweep
        self._answered = answered
        self._anonymous_reads = anonymous_reads
        self._lookup = Lookup(services)
        self._open = self._lookup.located
        self.calls = 0
        self.errors = 0

    def methods(self) -> Iterator[Method]:
        """Every method there is.

        @raise TypeError: one of them can't be called as it is written, see L{Method}.
        """
        return iter(self._lookup)

    def permissions(self) -> dict[str, bool]:
        """The permissions of methods, which are called as they are, and whether each may be narrowed to a resource."""
        return {method.name: method.resource is not None for method in self._lookup if method.permission == method.name}

    def forget(self, namespace: str) -> None:
        """A service has left the collection."""
        self._lookup.forget(namespace)

    def drain(self, draining: bool) -> None:
        """See L{IDraining}: nothing new is begun, but what ends something that was begun is still done."""
        self._open = {} if draining else self._lookup.located

    def reconfigure(self, config: _Options) -> None:
        """See L{IReconfigurable}."""
        self._anonymous_reads = config.anonymous_reads

    def allows(self, permissions: Permissions, name: str, resource: str) -> bool:
        """Whether some permissions let a method be called on a resource."""
        return allows(permissions, self._lookup.locate(name), resource)

    def dispatch(self, caller: Caller, payload: bytes) -> Answer | Deferred[Answer]:
        """Handle one message.

        @param payload: any bytes.
        @return: the answer, or a Deferred of it, which never fails.
        """
        try:
            message = jsonrpc.decode(payload, self._limits.max_batch)
            if not isinstance(message, list):
                return self._entry(caller, message)
            batches.check_room(message, self._limits.max_message_size)
        except RPCError as refusal:
            self.errors += 1
            self._throttle.erred(caller, refusal)
            return jsonrpc.error(refusal)
        return self._batch(caller, message)

    def _batch(self, caller: Caller, entries: list[Entry]) -> Answer | Deferred[Answer]:
        """The entries are begun in order, until one closes the connection; one answer holds all of theirs."""
        answers: list[Any] = []
        connection = caller.connection
        for entry in entries:
            if connection is not None and connection.closing_since is not None:
                break
            answers.append(self._entry(caller, entry))
        if any(isinstance(answer, Deferred) for answer in answers):
            pending = [answer if isinstance(answer, Deferred) else succeed(answer) for answer in answers]
            return gatherResults(pending).addCallback(self._join, entries)
        return self._join(answers, entries)

    def _join(self, answers: list[Answer], entries: list[Entry]) -> Answer:
        joined, unfit = batches.join(entries, answers, self._limits.max_message_size)
        self.errors += unfit
        return joined

    def _entry(self, caller: Caller, entry: Entry) -> Answer | Deferred[Answer]:
        if not isinstance(entry, Request):
            return self._no_request(caller, entry)
        self.calls += 1
        name, request_id = entry.method, entry.id
        try:
            method = self._open.get(name)
            if method is None:
                if name == HEARTBEAT and not request_id:
                    self._charge_unanswered(caller)
                    return None
                method = self._admit(caller, name, request_id)
            if caller.principal is None:
                check_anonymous(caller, method, self._anonymous_reads)
            elif caller.ends_at <= self._wall():  # since the last sweep: what follows that one in a read is too late
                self._end_expired()
                raise NotAuthenticated("Your token has expired")
            caller.credit -= 1
            if caller.credit < 0:
                self._throttle.refill(caller, answerable=bool(request_id))
            params = authorise(caller, method, entry.params)
            if method.takes_id:
                value = method.call(caller, request_id, **asdict(params))
            else:
                value = method.call(caller, **asdict(params))
        except Exception:
            return self._failed(Failure(), caller, name, request_id)
        if isinstance(value, _AT_ONCE):
            return self._succeeded(value, caller, name, request_id)
        if isinstance(value, CoroutineType):
            value = Deferred.fromCoroutine(value)
        if isinstance(value, Deferred):
            value.addCallback(self._succeeded, caller, name, request_id)
            value.addErrback(self._failed, caller, name, request_id)
            # A call waits for an agent. If others had to wait for it, so could the agent's own answer.
            return value if method.takes_id else self._count(caller, value)
        return self._succeeded(value, caller, name, request_id)

    def _count(self, caller: Caller, answer: Deferred[Answer]) -> Deferred[Answer]:
        caller.in_flight += 1
        return answer.addCallback(self._landed, caller)

    def _landed(self, answer: Answer, caller: Caller) -> Answer:
        caller.in_flight -= 1
        if caller.in_flight in (0, self._limits.max_in_flight // 2) and caller.connection is not None:
            caller.connection.resume()
        return answer

    def _no_request(self, caller: Caller, entry: Response | NotARequest) -> Answer:
        if isinstance(entry, NotARequest):
            self.errors += 1
            self._throttle.erred(caller, InvalidRequest())
            self._misunderstood(caller, entry.id)
            return None if entry.error is None else jsonrpc.error(entry.error, entry.id)
        self._charge_unanswered(caller)
        if caller.ends_at <= self._wall():
            self._end_expired()
        else:
            self._tell_of(caller, entry)
        return None

    def _misunderstood(self, caller: Caller, request_id: bytes) -> None:
        """Called when something can't be called: if it was meant to be an answer, somebody waits for that."""
        named = jsonrpc.text(request_id)
        if named is not None and caller.ends_at > self._wall():
            self._tell_of(caller, Response(named))

    def _tell_of(self, caller: Caller, answer: Response) -> None:
        if caller.session is None:
            return
        try:
            self._answered(caller.session, answer)
        except Exception:
            self.log.failure(
                "an answer of {entity_id} could not be handled", event="answer.failed", entity_id=caller.entity_id
            )

    def _charge_unanswered(self, caller: Caller) -> None:
        """Charge for a message that has no answer, as for a call."""
        caller.credit -= 1
        if caller.credit < 0:
            self._throttle.refill(caller, answerable=False)

    def examine(self, caller: Caller, name: str, params: bytes) -> msgspec.Struct:
        """The decoded params of a method, if the caller may call it with them; it is not called.

        @raise RPCError: what the caller would get.
        """
        method = self._lookup.locate(name)
        if caller.principal is None:
            check_anonymous(caller, method, self._anonymous_reads)
        return authorise(caller, method, params)

    def _admit(self, caller: Caller, name: str, request_id: bytes) -> Method:
        """
        @raise MethodNotFound: there is none by that name.
        @raise Unavailable: it would be new work, and the gateway goes down.
        """
        try:
            method = self._lookup.locate(name)
        except MethodNotFound:
            self._misunderstood(caller, request_id)
            raise
        if self._open is not self._lookup.located and not name.startswith(ALLOWED_WHILE_DRAINING):
            raise Unavailable("The gateway is going down")
        return method

    def _succeeded(self, value: Any, caller: Caller, method: str, request_id: bytes) -> Answer:
        if not request_id:
            return None
        try:
            answer = jsonrpc.result(value, request_id)
        except Exception:
            return self._failed(Failure(), caller, method, request_id)
        if len(answer) > self._limits.max_message_size:
            return self._failed(Failure(self._too_large()), caller, method, request_id)
        return answer

    def _failed(self, failure: Failure, caller: Caller, method: str, request_id: bytes) -> Answer:
        self.errors += 1
        error = failure.value
        if not isinstance(error, RPCError):
            connection = caller.connection
            self.log.failure(
                "{method} failed",
                failure,
                event="method.failed",
                method=printable(method),
                connection_id=connection and connection.connection_id,
                entity_id=caller.entity_id,
            )
            error = InternalError()
        self._throttle.erred(caller, error)
        if isinstance(error, PermissionDenied):
            self._audit.refused("call.refused", caller, method, error.message)
        if not request_id:
            return None
        answer = jsonrpc.error(error, request_id)
        return answer if len(answer) <= self._limits.max_message_size else jsonrpc.error(self._too_large(), request_id)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The answer is larger than {self._limits.max_message_size} bytes")
