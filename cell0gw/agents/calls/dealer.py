"""Calls from one entity to another: the gateway asks an agent, and brings its answer back.

A call is *started* once the agent has said so, by progress or an acknowledgement; an agent that doesn't acknowledge has
started with the writing of the request. What was refused or lost before that goes to the next agent that can take it;
what is lost after that is told to the caller at once: nobody else does half-done work a second time.
"""

from __future__ import annotations

import math
from typing import Final

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.calls.assignments import RETRY_AFTER_MS, Assignments, nobody_here
from cell0gw.agents.calls.call import CALLER_GONE, REFUSALS, Call, CallRequest, read_error
from cell0gw.agents.calls.workers import Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.message_ids import MESSAGE, Lineage
from cell0gw.auth.permissions import Permissions
from cell0gw.process.interfaces import IDraining
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import AgentFailed, Cancelled, Conflict, NotFound, RateLimited, RPCError
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import MIB
from cell0gw.protocol.notifications import AgentCancelled, AgentProgress
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Session

CALL: Final = "agent.call"

MAX_OF_CALLER: Final = 1000
"""How many calls of one session are on their way."""

MAX_SIZE_OF_CALLER: Final = 16 * MIB
"""How long their messages are together, in bytes, if it is more than one: they are held until the answer is there."""

MAX_SIZE: Final = 256 * MIB
"""The same for all sessions."""

RETURN_WINDOW: Final = 60.0
"""Seconds after a start in which agents that were here before may not be back yet."""


@implementer(ISessionObserver, IDraining)
class Dealer:
    """All calls that are on their way.

    @ivar assignments: who has which of them.
    @ivar made: how many calls there were; of these C{answered} with a result, C{failed} without; C{late}: how many
        answers came when nobody waited for them.
    """

    def __init__(
        self, workers: Workers, recipients: Recipients, conversations: Conversations, runtime: Runtime
    ) -> None:
        self._workers = workers
        self._recipients = recipients
        self._conversations = conversations
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._new_id = runtime.new_id
        self._calls: dict[str, Call] = {}
        self._of_caller: dict[Session, dict[bytes, Call]] = {}
        self._sizes: dict[Session | None, int] = {None: 0}  # of None: all of them
        self.assignments = Assignments(workers, runtime.clock, moved=self._set_timer, failed=self._fail)
        self._returning_until = -math.inf
        self.made = self.answered = self.failed = self.late = 0

    def __len__(self) -> int:
        return len(self._calls)

    def call(
        self,
        caller: Session | None,
        sender: tuple[str, str],
        permissions: Permissions,
        request_id: bytes,
        request: CallRequest,
    ) -> Deferred[Raw]:
        """Have an agent do something.

        @param caller: whose call it is; it hears of progress, and its end cancels the call.
        @param sender: the id and the type of who calls.
        @param permissions: the caller's: only what it may call is suggested to it.
        @param request_id: names the call to its caller, as it is written; empty: nothing does.
        @return: fires with the agent's result, as it wrote it.
        @raise NotFound: nobody was ever here who can; the suggestions are in C{near}.
        @raise Unavailable: nobody who can is here, or wants calls now.
        @raise RateLimited: too many calls wait already, or too long ones.
        @raise Conflict: a call with that id is running.
        @raise LoopDetected: the conversation goes in circles.
        @raise Cancelled: the caller's connection is on its way out; or by the Deferred.
        @raise AgentFailed: by the Deferred: the agent answered with an error, or was lost after it had begun.
        @raise TimedOut: by the Deferred.
        """
        if caller is not None and caller.connection.closing_since is not None:
            raise Cancelled("The caller has gone")
        pool = self.assignments.pool(request)
        if pool is None:
            raise self._nobody(request, permissions)
        own = {} if caller is None else self._of_caller.get(caller, {})
        if request_id in own:
            raise Conflict("A call with this id is running")
        if len(own) >= MAX_OF_CALLER:
            raise RateLimited(f"{len(own)} of your calls are running", retry_after_ms=RETRY_AFTER_MS)
        if (own and self._sizes[caller] + request.size > MAX_SIZE_OF_CALLER) or (
            self._calls and self._sizes[None] + request.size > MAX_SIZE
        ):
            raise RateLimited("The messages of the calls that are running are too long", retry_after_ms=RETRY_AFTER_MS)
        lineage = self._conversations.place(self._new_id(MESSAGE), sender[0], request.target, request.in_reply_to)
        now = self._clock.seconds()
        call = Call(self._new_id("call"), request, lineage, caller, sender, request_id, now, self._wall(), pool)
        self._calls[call.call_id] = call
        self._sizes[None] += request.size
        if caller is not None:
            self._of_caller.setdefault(caller, {})[call.key] = call
            self._sizes[caller] = self._sizes.get(caller, 0) + request.size
        try:
            self.assignments.assign(call)
        except RPCError:
            self._forget(call)
            raise
        self.made += 1
        return call.answer

    def is_known(self, request: CallRequest) -> bool:
        """Whether somebody is, or was, the agent that is asked for, or served the capability."""
        if request.agent_id is not None:
            return request.agent_id in self._recipients
        # Who served what before the start is not known: those have some time to come back.
        return self._workers.was_served(request.capability or "") or self._clock.seconds() < self._returning_until

    def await_return(self) -> None:
        """There were agents before this start; they may be on their way."""
        self._returning_until = self._clock.seconds() + RETURN_WINDOW

    def near(self, request: CallRequest, permissions: Permissions) -> list[str]:
        """What looks like a target that nobody serves, as far as someone with these permissions may call it."""
        if request.agent_id is not None:
            return self._workers.agents.near(request.agent_id, lambda name: permissions.allow_on(CALL, name))
        return self._workers.capabilities.near(
            request.capability or "", lambda name: permissions.allow_on(CALL, f"capability:{name}")
        )

    def cancel(self, caller: Session, request_id: bytes) -> None:
        """The caller no longer wants an answer.

        @raise NotFound: it has no such call.
        """
        call = self._of_caller.get(caller, {}).get(request_id)
        if call is None:
            raise NotFound("You have no such call")
        self._give_up(call, Cancelled(), "cancelled")

    def progress(self, session: Session, call_id: str, data: Raw) -> bool:
        """An agent has something to show before its answer.

        @return: whether it has such a call.
        """
        call = self._begun(session, call_id)
        if call is None:
            return False
        caller = call.caller
        if caller is not None and call.request_id:
            if caller.connection.behind:
                caller.connection.fall_behind()
            else:
                content = AgentProgress(request_id=Raw(call.request_id), call_id=call_id, data=data)
                caller.connection.notify("agent.progress", content)
        return True

    def begun(self, session: Session, call_id: str) -> bool:
        """An agent says that it has begun.

        @return: whether it has such a call.
        """
        return self._begun(session, call_id) is not None

    def holds(self, session: Session, call_id: str) -> bool:
        """Whether a session has this call."""
        return self._held(session, call_id) is not None

    def lineage(self, call_id: str, entity_id: str) -> Lineage | None:
        """What conversation a call is part of, if it is running and this entity has it; else None."""
        call = self._calls.get(call_id)
        if call is None or call.worker is None or call.worker.session.entity_id != entity_id:
            return None
        return call.lineage

    def answered_by(self, session: Session, response: Response) -> None:
        """An agent has answered; an answer that nobody waits for is dropped."""
        call = self._held(session, response.id)
        if call is None:
            self.late += 1
            return
        if not response.error:
            self.answered += 1
            self._end(call).callback(Raw(response.result))
            return
        failure = read_error(response.error)
        if failure.code in REFUSALS and not call.begun:
            call.refusal = failure.message
            self.assignments.pass_on(call)
        else:
            said = {"code": failure.code, "message": failure.message, "data": failure.data}
            self._fail(call, AgentFailed(f"{session.entity_id} failed", agent_id=session.entity_id, agent_error=said))

    def drain(self, draining: bool) -> None:
        """See L{IDraining}: whoever waits for an answer is told, and may ask again if nobody has begun."""
        running = self._calls.values() if draining else ()
        waiting_first = sorted(running, key=lambda call: call.worker is not None)
        for call in waiting_first:
            if call.call_id in self._calls:  # else it ended with another one
                self._give_up(call, self.assignments.interruption(call), "draining")

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: whoever is gone wants no answers."""
        # Those that wait first: else the end of one that runs would have one of these begin.
        for call in sorted(self._of_caller.get(session, {}).values(), key=lambda call: call.worker is not None):
            self._give_up(call, *CALLER_GONE)

    def session_closed(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}."""
        self.session_detached(session, ending)

    def _nobody(self, request: CallRequest, permissions: Permissions) -> RPCError:
        """What is said when nobody is here who can do it."""
        if self.is_known(request):
            return nobody_here(request)
        what = "Nobody is called" if request.agent_id is not None else "Nobody serves"
        return NotFound(f"{what} {request.target}", near=self.near(request, permissions))

    def _held(self, session: Session, call_id: str) -> Call | None:
        call = self._calls.get(call_id)
        return call if call is not None and call.worker is not None and call.worker.session is session else None

    def _begun(self, session: Session, call_id: str) -> Call | None:
        call = self._held(session, call_id)
        if call is not None:
            call.begun = True
            if call.request.idle is not None:
                call.idle_until = self._clock.seconds() + call.request.idle
                self._set_timer(call)
        return call

    def _give_up(self, call: Call, error: RPCError, reason: str) -> None:
        """The caller gets an error, and the agent hears that nobody wants its answer."""
        if call.worker is not None:
            content = AgentCancelled(call_id=call.call_id, reason=reason)
            call.worker.session.connection.notify("agent.cancelled", content)
        self._fail(call, error)

    def _fail(self, call: Call, error: RPCError) -> None:
        self.failed += 1
        self._end(call).errback(Failure(error))

    def _end(self, call: Call) -> Deferred[Raw]:
        """It is over; only its answer is to be given."""
        self._forget(call)
        if call.timer is not None and call.timer.active():
            call.timer.cancel()
        self.assignments.release(call)
        return call.answer

    def _forget(self, call: Call) -> None:
        del self._calls[call.call_id]
        self._sizes[None] -= call.request.size
        if call.caller is not None:
            own = self._of_caller[call.caller]
            del own[call.key]
            self._sizes[call.caller] -= call.request.size
            if not own:
                del self._of_caller[call.caller], self._sizes[call.caller]

    def _set_timer(self, call: Call) -> None:
        delay = max(0.0, call.until - self._clock.seconds())
        if call.timer is not None and call.timer.active():
            call.timer.reset(delay)
        else:
            call.timer = self._clock.callLater(delay, self._out_of_patience, call)

    def _out_of_patience(self, call: Call) -> None:
        self._give_up(call, *call.lateness())
