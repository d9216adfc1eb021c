"""Calls from one entity to another: the gateway asks an agent, and relays its answer.

A call is *started* once the agent has said so, by progress or an acknowledgement; an agent that doesn't acknowledge has
started with the writing of the request. What was refused or lost before that goes to the next agent that can take it;
what is lost after that fails at once: no other agent does half-done work a second time.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.calls.assignments import Assignments
from cell0gw.agents.calls.call import CALLER_GONE, REFUSALS, Call, CallRequest, Withdrawal, invocation, read_error
from cell0gw.agents.calls.pools import Pool
from cell0gw.agents.calls.refusals import RETRY_AFTER_MS
from cell0gw.agents.calls.targets import Targets
from cell0gw.agents.calls.workers import Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.message_ids import MESSAGE, Lineage
from cell0gw.process.interfaces import IDraining, ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import Cancelled, Conflict, NotFound, RateLimited, RPCError
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import MIB, Limits, in_share
from cell0gw.protocol.notifications import AgentCancelled, AgentProgress
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller, Session

MAX_OF_CALLER: Final = 1000
"""Maximum calls of one session that are in flight."""

MAX_SIZE_OF_CALLER: Final = 16 * MIB
"""Maximum bytes that they take together, if it is more than one: they are kept until the answer comes."""

MAX_SIZE: Final = 256 * MIB
"""The same for all sessions together. An entity has a share of it, in all of its sessions."""


@implementer(ISessionObserver, IDraining, ISweeper)
class Dealer:
    """All calls that are in flight.

    @param limits: maximum bytes of what is relayed.
    @ivar assignments: who has which of them.
    @ivar made: how many calls there were; of these C{answered} with a result, C{failed} without; C{late}: how many
        answers came when nobody waited for them.
    """

    def __init__(
        self, workers: Workers, targets: Targets, conversations: Conversations, limits: Limits, runtime: Runtime
    ) -> None:
        self._targets = targets
        self._conversations = conversations
        self._limits = limits
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._new_id = runtime.new_id
        self._calls: dict[str, Call] = {}
        self._of_caller: dict[Session, dict[bytes, Call]] = {}
        self._sizes: Counter[Session | str] = Counter()  # of sessions, and of entities
        self._size = 0
        self.assignments = Assignments(workers, conversations, self._clock, moved=self._set_timer, failed=self._fail)
        self.made = self.answered = self.failed = self.late = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """How many of them wait for a worker."""
        return self.assignments.waiting

    def pool(self, request: CallRequest) -> Pool | None:
        """The pool of workers that can take a call, now or when they come back; None: there are none."""
        return self.assignments.pool(request)

    def sweep(self) -> None:
        """See L{ISweeper}."""
        self.assignments.sweep()

    def call(self, caller: Caller, request_id: bytes, request: CallRequest) -> Deferred[Raw]:
        """Make a call.

        @param caller: its session, if it has one, gets the progress; the end of the session cancels the call.
        @param request_id: names the call to its caller, as it is written; empty: nothing does.
        @return: fires with the agent's result, as it wrote it.
        @raise NotFound: the agent does not exist, or nobody ever served that; the suggestions are in C{near}.
        @raise Unavailable: no agent that can take it is connected, or accepts calls now.
        @raise RateLimited: too many calls wait already, or too long ones.
        @raise Conflict: a call with that id is running.
        @raise LoopDetected: the conversation goes in circles.
        @raise TooLarge: the message is longer than anything that is relayed.
        @raise InvalidParams: it is no input of the capability, where that is checked.
        @raise Cancelled: the caller's connection is on its way out; or by the Deferred.
        @raise AgentFailed: by the Deferred: the agent answered with an error, or was lost after it had begun.
        @raise TimedOut: by the Deferred.
        """
        self._limits.check_content(len(request.message))
        session, sender = caller.session, caller.sender
        if session is not None and session.connection.closing_since is not None:
            raise Cancelled("The caller has gone")
        pool = self.assignments.pool(request)
        if pool is None or not self._targets.open_to(sender, request, pool):
            raise self._targets.refusal(sender, request)
        own = {} if session is None else self._of_caller.get(session, {})
        if request_id in own:
            raise Conflict("A call with this id is running")
        if len(own) >= MAX_OF_CALLER:
            raise RateLimited(f"{len(own)} of your calls are running", retry_after_ms=RETRY_AFTER_MS)
        if session is not None and own and self._sizes[session] + request.size > MAX_SIZE_OF_CALLER:
            raise RateLimited("The messages of your running calls are too long", retry_after_ms=RETRY_AFTER_MS)
        taken = self._sizes[sender.entity_id]
        if self._calls and not in_share(taken, request.size, self._size, MAX_SIZE):
            running = f"The running calls take {self._size} bytes, {taken} of them those of {sender.entity_id}"
            raise RateLimited(running, retry_after_ms=RETRY_AFTER_MS)
        self._targets.check_input(request, pool)
        nonce, now = self._new_id(MESSAGE), self._clock.seconds()
        lineage = self._conversations.place(nonce, sender.entity_id, request.target, request.in_reply_to)
        invoked = invocation(self._new_id("call"), sender, request, lineage, self._wall())
        parent = self.held_by(sender.entity_id, request.in_reply_to)
        call = Call(invoked, request, lineage, session, request_id, now, pool, sender.sight, parent)
        call.join()
        self._calls[call.call_id] = call
        self._count(call, request.size)
        if session is not None:
            self._of_caller.setdefault(session, {})[call.key] = call
        try:
            self.assignments.assign(call)
        except RPCError:
            self._forget(call)
            raise
        self.made += 1
        return call.answer

    def cancel(self, session: Session, request_id: bytes) -> None:
        """Cancel a call for its caller.

        @raise NotFound: it has no such call.
        """
        call = self._of_caller.get(session, {}).get(request_id)
        if call is None:
            raise NotFound("You have no such call")
        self._give_up(call, Withdrawal(Cancelled(begun=call.may_have_begun), "cancelled"))

    def progress(self, session: Session, call_id: str, data: Raw) -> bool:
        """Called when an agent sends intermediate data.

        @return: whether it has such a call.
        @raise TooLarge: the data is longer than anything that is relayed.
        """
        self._limits.check_content(len(data))
        call = self._begun(session, call_id)
        if call is None:
            return False
        asking = call.session
        if asking is not None and call.request_id:
            call.parts += 1
            content = AgentProgress(request_id=Raw(call.request_id), call_id=call_id, sequence=call.parts, data=data)
            asking.connection.notify("agent.progress", content)
        return True

    def begun(self, session: Session, call_id: str) -> bool:
        """Called when an agent says that it has begun.

        @return: whether it has such a call.
        """
        return self._begun(session, call_id) is not None

    def holds(self, session: Session, call_id: str) -> bool:
        """Whether a session has this call."""
        return self._held(session, call_id) is not None

    def held_by(self, entity_id: str, call_id: str | None) -> Call | None:
        """A call that an entity has; None: it has no such call."""
        call = None if call_id is None else self._calls.get(call_id)
        has = call is not None and call.worker is not None and call.worker.session.entity_id == entity_id
        return call if has else None

    def lineage(self, call_id: str, entity_id: str) -> Lineage | None:
        """What conversation a call is part of, if it is running and this entity has it; else None."""
        call = self.held_by(entity_id, call_id)
        return None if call is None else call.lineage

    def answered_by(self, session: Session, response: Response) -> None:
        """Called with an agent's response; one that nobody waits for is dropped.

        @param response: with neither result nor error it ends the call that it names, and is else of no interest.
        """
        call = self._held(session, response.id)
        if call is None:
            self.late += bool(response.result or response.error)
            self.assignments.answered_late(session, response.id)
            return
        if response.result and not response.error:
            self.answered += 1
            self._end(call).callback(Raw(response.result))
            return
        failure = read_error(response.error)
        if failure.code in REFUSALS and not call.begun:
            call.refusal = failure.message
            self.assignments.pass_on(call)
        else:
            data = failure.data if len(failure.data) <= self._limits.max_content_size else None
            said = {"code": failure.code, "message": failure.message, "data": data}
            self._fail(call, call.failed(session.entity_id, "failed", agent_error=said))

    def drain(self, draining: bool) -> None:
        """See L{IDraining}: every caller that waits for an answer is notified, and may retry if no agent has begun."""
        for call in list(self._calls.values()) if draining else ():
            if call.call_id in self._calls:  # else it ended with another one
                self._give_up(call, Withdrawal(self.assignments.interruption(call), "draining"))

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: its calls are cancelled."""
        for call in list(self._of_caller.get(session, {}).values()):
            self._give_up(call, CALLER_GONE)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def _held(self, session: Session, call_id: str) -> Call | None:
        call = self._calls.get(call_id)
        return call if call is not None and call.worker is not None and call.worker.session is session else None

    def _begun(self, session: Session, call_id: str) -> Call | None:
        call = self._held(session, call_id)
        if call is not None:
            self.assignments.begun(call)
            if call.request.idle is not None:
                call.idle_until = self._clock.seconds() + call.request.idle
                self._set_timer(call)
        return call

    def _give_up(self, call: Call, withdrawal: Withdrawal) -> None:
        """Fail a call, and notify its agent that the answer is no longer wanted."""
        if call.worker is not None:
            content = AgentCancelled(call_id=call.call_id, reason=withdrawal.reason)
            call.worker.session.connection.notify("agent.cancelled", content)
        self._forget(call)
        self.assignments.give_up(call)
        self.failed += 1
        call.answer.errback(Failure(withdrawal.error))

    def _fail(self, call: Call, error: RPCError) -> None:
        self.failed += 1
        self._end(call).errback(Failure(error))

    def _end(self, call: Call) -> Deferred[Raw]:
        """End a call, but for its answer.

        @return: the Deferred of the answer."""
        self._forget(call)
        self.assignments.release(call)
        return call.answer

    def _forget(self, call: Call) -> None:
        if call.timer is not None and call.timer.active():
            call.timer.cancel()
        call.leave()
        del self._calls[call.call_id]
        self._count(call, -call.request.size)
        if call.session is not None:
            own = self._of_caller[call.session]
            del own[call.key]
            if not own:
                del self._of_caller[call.session]

    def _count(self, call: Call, size: int) -> None:
        self._size += size
        for whose in (call.invocation.sender, call.session):
            if whose is not None:
                self._sizes[whose] += size
                if not self._sizes[whose]:
                    del self._sizes[whose]

    def _set_timer(self, call: Call) -> None:
        delay = max(0.0, call.until - self._clock.seconds())
        if call.timer is not None and call.timer.active():
            call.timer.reset(delay)
        else:
            call.timer = self._clock.callLater(delay, self._out_of_patience, call)

    def _out_of_patience(self, call: Call) -> None:
        self._give_up(call, call.lateness())
