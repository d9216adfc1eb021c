"""Calls from one entity to another: the gateway asks an agent, and relays its answer.

A call is *started* once the agent has said so, by progress or an acknowledgement; an agent that doesn't acknowledge has
started with the writing of the request. What was refused or lost before that goes to the next agent that can take it;
what is lost after that fails at once: no other agent does half-done work a second time.
"""

from __future__ import annotations

from typing import Final

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from cell0gw.agents.calls.assignments import RETRY_AFTER_MS, Assignments
from cell0gw.agents.calls.call import CALLER_GONE, REFUSALS, Call, CallRequest, Withdrawal, invocation, read_error
from cell0gw.agents.calls.pools import Pool
from cell0gw.agents.calls.workers import Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.message_ids import MESSAGE, Lineage
from cell0gw.auth.permissions import Permissions
from cell0gw.process.interfaces import IDraining, ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.errors import AgentFailed, Cancelled, Conflict, NotFound, RateLimited, RPCError
from cell0gw.protocol.jsonrpc import Response
from cell0gw.protocol.limits import MIB
from cell0gw.protocol.notifications import AgentCancelled, AgentProgress
from cell0gw.sessions.ending import Ending
from cell0gw.sessions.observers import ISessionObserver
from cell0gw.sessions.session import Caller, Session

CALL: Final = "agent.call"

MAX_OF_CALLER: Final = 1000
"""Maximum calls of one session that are in flight."""

MAX_SIZE_OF_CALLER: Final = 16 * MIB
"""Maximum bytes of their messages together, if it is more than one: they are kept until the answer comes."""

MAX_SIZE: Final = 256 * MIB
"""The same for all sessions together."""


@implementer(ISessionObserver, IDraining, ISweeper)
class Dealer:
    """All calls that are in flight.

    @ivar assignments: who has which of them.
    @ivar made: how many calls there were; of these C{answered} with a result, C{failed} without; C{late}: how many
        answers came when nobody waited for them.
    """

    def __init__(self, workers: Workers, conversations: Conversations, runtime: Runtime) -> None:
        self._workers = workers
        self._conversations = conversations
        self._clock = runtime.clock
        self._wall = runtime.wall
        self._new_id = runtime.new_id
        self._calls: dict[str, Call] = {}
        self._of_caller: dict[Session, dict[bytes, Call]] = {}
        self._sizes: dict[Session | None, int] = {None: 0}  # of None: all of them
        self.assignments = Assignments(workers, runtime.clock, moved=self._set_timer, failed=self._fail)
        self.made = self.answered = self.failed = self.late = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def waiting(self) -> int:
        """How many of them wait for a worker."""
        return self.assignments.waiting

    def pool(self, request: CallRequest) -> Pool | None:
        """The pool of workers that can take a call; None: there are none."""
        return self.assignments.pool(request)

    def sweep(self) -> None:
        """See L{ISweeper}."""
        self.assignments.sweep()

    def call(self, caller: Caller, request_id: bytes, request: CallRequest) -> Deferred[Raw]:
        """Make a call.

        @param caller: its session, if it has one, gets the progress; the end of the session cancels the call.
        @param request_id: names the call to its caller, as it is written; empty: nothing does.
        @return: fires with the agent's result, as it wrote it.
        @raise NotFound: no agent is connected that can take it; the suggestions are in C{near}.
        @raise Unavailable: no agent that can take it accepts calls now.
        @raise RateLimited: too many calls wait already, or too long ones.
        @raise Conflict: a call with that id is running.
        @raise LoopDetected: the conversation goes in circles.
        @raise Cancelled: the caller's connection is on its way out; or by the Deferred.
        @raise AgentFailed: by the Deferred: the agent answered with an error, or was lost after it had begun.
        @raise TimedOut: by the Deferred.
        """
        session, sender = caller.session, caller.sender
        if session is not None and session.connection.closing_since is not None:
            raise Cancelled("The caller has gone")
        pool = self.assignments.pool(request)
        if pool is None:
            raise NotFound(f"Nobody serves {request.target}", near=self.near(request, sender.permissions))
        own = {} if session is None else self._of_caller.get(session, {})
        if request_id in own:
            raise Conflict("A call with this id is running")
        if len(own) >= MAX_OF_CALLER:
            raise RateLimited(f"{len(own)} of your calls are running", retry_after_ms=RETRY_AFTER_MS)
        if (own and self._sizes[session] + request.size > MAX_SIZE_OF_CALLER) or (
            self._calls and self._sizes[None] + request.size > MAX_SIZE
        ):
            raise RateLimited("The messages of the calls that are running are too long", retry_after_ms=RETRY_AFTER_MS)
        nonce, now = self._new_id(MESSAGE), self._clock.seconds()
        lineage = self._conversations.place(nonce, sender.entity_id, request.target, request.in_reply_to)
        invoked = invocation(self._new_id("call"), sender, request, lineage, self._wall())
        call = Call(invoked, request, lineage, session, request_id, now, pool)
        self._calls[call.call_id] = call
        self._sizes[None] += request.size
        if session is not None:
            self._of_caller.setdefault(session, {})[call.key] = call
            self._sizes[session] = self._sizes.get(session, 0) + request.size
        try:
            self.assignments.assign(call)
        except RPCError:
            self._forget(call)
            raise
        self.made += 1
        return call.answer

    def near(self, request: CallRequest, permissions: Permissions) -> list[str]:
        """What looks like a target that nobody serves, as far as someone with these permissions may call it."""
        if request.agent_id is not None:
            return self._workers.agents.near(request.agent_id, lambda name: permissions.allow_on(CALL, name))
        return self._workers.capabilities.near(
            request.capability or "", lambda name: permissions.allow_on(CALL, f"capability:{name}")
        )

    def cancel(self, session: Session, request_id: bytes) -> None:
        """Cancel a call for its caller.

        @raise NotFound: it has no such call.
        """
        call = self._of_caller.get(session, {}).get(request_id)
        if call is None:
            raise NotFound("You have no such call")
        self._give_up(call, Withdrawal(Cancelled(), "cancelled"))

    def progress(self, session: Session, call_id: str, data: Raw) -> bool:
        """Called when an agent sends intermediate data.

        @return: whether it has such a call.
        """
        call = self._begun(session, call_id)
        if call is None:
            return False
        asking = call.session
        if asking is not None and call.request_id:
            if asking.connection.behind:
                asking.connection.fall_behind()
            else:
                content = AgentProgress(request_id=Raw(call.request_id), call_id=call_id, data=data)
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

    def lineage(self, call_id: str, entity_id: str) -> Lineage | None:
        """What conversation a call is part of, if it is running and this entity has it; else None."""
        call = self._calls.get(call_id)
        if call is None or call.worker is None or call.worker.session.entity_id != entity_id:
            return None
        return call.lineage

    def answered_by(self, session: Session, response: Response) -> None:
        """Called with an agent's response; one that nobody waits for is dropped."""
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
        """See L{IDraining}: every caller that waits for an answer is notified, and may retry if no agent has begun."""
        running = self._calls.values() if draining else ()
        waiting_first = sorted(running, key=lambda call: call.worker is not None)
        for call in waiting_first:
            if call.call_id in self._calls:  # else it ended with another one
                self._give_up(call, Withdrawal(self.assignments.interruption(call), "draining"))

    def session_opened(self, session: Session) -> None:
        """See L{ISessionObserver}."""

    def session_detached(self, session: Session, ending: Ending) -> None:
        """See L{ISessionObserver}: its calls are cancelled."""
        # Those that wait first: else the end of one that runs would have one of these begin.
        for call in sorted(self._of_caller.get(session, {}).values(), key=lambda call: call.worker is not None):
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
            call.begun = True
            if call.request.idle is not None:
                call.idle_until = self._clock.seconds() + call.request.idle
                self._set_timer(call)
        return call

    def _give_up(self, call: Call, withdrawal: Withdrawal) -> None:
        """Fail a call, and notify its agent that the answer is no longer wanted."""
        if call.worker is not None:
            content = AgentCancelled(call_id=call.call_id, reason=withdrawal.reason)
            call.worker.session.connection.notify("agent.cancelled", content)
        self._fail(call, withdrawal.error)

    def _fail(self, call: Call, error: RPCError) -> None:
        self.failed += 1
        self._end(call).errback(Failure(error))

    def _end(self, call: Call) -> Deferred[Raw]:
        """End a call, but for its answer.

        @return: the Deferred of the answer."""
        self._forget(call)
        if call.timer is not None and call.timer.active():
            call.timer.cancel()
        self.assignments.release(call)
        return call.answer

    def _forget(self, call: Call) -> None:
        del self._calls[call.call_id]
        self._sizes[None] -= call.request.size
        if call.session is not None:
            own = self._of_caller[call.session]
            del own[call.key]
            self._sizes[call.session] -= call.request.size
            if not own:
                del self._of_caller[call.session], self._sizes[call.session]

    def _set_timer(self, call: Call) -> None:
        delay = max(0.0, call.until - self._clock.seconds())
        if call.timer is not None and call.timer.active():
            call.timer.reset(delay)
        else:
            call.timer = self._clock.callLater(delay, self._out_of_patience, call)

    def _out_of_patience(self, call: Call) -> None:
        self._give_up(call, call.lateness())
