"""Which session would get a message, a call or a task, and why others would not. Nothing is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.calls.circles import circle
from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.refusals import reads
from cell0gw.agents.calls.targets import Targets
from cell0gw.agents.calls.workers import SERVE
from cell0gw.agents.conversations import CIRCLE, Conversations
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.receipts import SEND
from cell0gw.agents.mail.sending import Mail
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.auth.sight import Sight
from cell0gw.presence.directory import Directory
from cell0gw.protocol.errors import TooLarge
from cell0gw.sessions.session import Sender, Session

MAX_CONSIDERED = 100
"""Maximum sessions considered that an explanation shows."""


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was considered.

    - `entity_id`: its entity
    - `session_id`: the session
    - `chosen`: whether it would get the message, the call or the task
    - `reason`: why, or why not, for people
    """

    entity_id: str
    session_id: str
    chosen: bool
    reason: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway would do with a message, a call or a task.

    - `outcome`: `sent`: somebody would get it at once. `queued`: the message would wait in its mailbox. `waiting`: the
      call or the task would wait until an agent has room, or comes. `refused`: it would fail. Of a task that is there,
      `sent`: an agent has it; and `over`: it has come to its end
    - `reason`: why, for people
    - `near`: existing names similar to an unknown one
    - `considered`: candidate sessions, at most 100, the chosen one first
    - `total`: how many candidates there are
    """

    outcome: str
    reason: str
    near: tuple[str, ...] = ()
    considered: tuple[Considered, ...] = ()
    total: int = 0


WhyNot = Callable[[Worker], str | None]
"""Says why a worker that has room gets nothing, for people; None: it may."""


class _Prospect(NamedTuple):
    """What would become of a call, and why."""

    outcome: str
    reason: str


class Explain:
    """Explains routing decisions, and sends nothing."""

    def __init__(
        self,
        directory: Directory,
        mail: Mail,
        mailboxes: Mailboxes,
        conversations: Conversations,
        targets: Targets,
        calls: Dealer,
    ) -> None:
        self._directory = directory
        self._mail = mail
        self._mailboxes = mailboxes
        self._conversations = conversations
        self._targets = targets
        self._calls = calls

    def message(
        self,
        sender: Sender,
        recipient: str,
        size: int,
        in_reply_to: str | None = None,
        kept: bool = False,
    ) -> Explanation:
        """What would become of a message.

        @param size: of the message, in bytes.
        @param kept: whether it is to be kept in any case, for its receipts or its key.
        @raise RPCError: what its sender would get, but for who is not found.
        """
        if not (sender.knows(SEND, recipient) and self._mail.reaches(recipient)):
            reason = "no valid token names this id, and it never had a session"
            return Explanation(outcome="refused", reason=reason, near=tuple(self._mail.near(sender, recipient)))
        self._conversations.place(MESSAGE, sender.entity_id, recipient, in_reply_to, dry=True)
        sessions = self._directory.live(recipient)[::-1]
        chosen = self._directory.route(recipient, reading=True)
        keeping = any(session.acknowledges for session in sessions)
        considered = [
            Considered(
                entity_id=recipient,
                session_id=session.session_id,
                chosen=session is chosen,
                reason=_of_session(session, session is chosen, keeping),
            )
            for session in (sessions if sender.sight.sees(recipient) else ())
        ]
        if kept or chosen is None or chosen.acknowledges or recipient in self._mailboxes:
            self._mailboxes.check(sender.entity_id, recipient, size)
        waits = chosen is None or self._mailboxes.queues(recipient)
        limit = None if chosen is None else chosen.max_message_size
        if limit is not None and size > limit:
            raise TooLarge(f"This message is {size} bytes, and {recipient} takes {limit} at most")
        if not sessions:
            reason = "it is away: the message waits in its mailbox"
        elif chosen is None and all(session.mail.pull for session in sessions):
            reason = "its sessions ask for their mail: the message waits in its mailbox"
        elif chosen is None:
            reason = "its connections are slow to read: the message waits in its mailbox"
        elif waits:
            reason = "other messages wait for it, and come first"
        else:
            reason = "it is here"
        return Explanation(
            outcome="queued" if waits else "sent",
            reason=reason,
            considered=_shown(considered),
            total=len(considered),
        )

    def call(self, sender: Sender, request: CallRequest) -> Explanation:
        """What would become of a call, if nothing changes.

        @raise RPCError: what its sender would get, but for who is not found.
        """
        pool = self._calls.pool(request)
        sight = sender.sight
        others = [] if request.capability is None else list(self._not_serving(request.capability, sight))
        if pool is None or not self._targets.open_to(sender, request, pool):
            known = self._targets.knows(sender, request)
            return Explanation(
                outcome="refused",
                reason="no worker for it is connected now" if known else "nobody here serves it",
                near=() if known else tuple(self._targets.near(sender, request)),
                considered=_shown(others),
                total=len(others),
            )
        self._targets.check_input(request, pool)
        self._conversations.place(MESSAGE, sender.entity_id, request.target, request.in_reply_to, dry=True)
        free = pool.preview(request.policy, request.key, reads)
        parent = self._calls.held_by(sender.entity_id, request.in_reply_to)
        circled = free is None and parent is not None and circle(pool, (), parent) is not None
        chosen = None if request.policy == "random" else free
        considered = _considered(pool, chosen, request, sight, _slow) + others
        prospect = _Prospect("refused", CIRCLE) if circled else _of_pool(pool, free)
        return Explanation(
            outcome=prospect.outcome,
            reason=prospect.reason,
            considered=_shown(considered),
            total=len(considered),
        )

    def task(self, sender: Sender, request: CallRequest, why_not: WhyNot, method: str) -> Explanation:
        """Who would get a task, if nothing changes; it waits if nobody would.

        @param request: a call of the same.
        @param method: by which it is created.
        """
        pool, sight = self._calls.pool(request), sender.sight
        others = [] if request.capability is None else list(self._not_serving(request.capability, sight))
        if pool is None or not self._targets.open_to(sender, request, pool, method=method):
            return Explanation(
                outcome="waiting",
                reason="nobody who could do it is connected now",
                near=tuple(self._targets.near(sender, request, method)),
                considered=_shown(others),
                total=len(others),
            )
        free = pool.preview(request.policy, request.key, lambda worker: why_not(worker) is None)
        chosen = None if request.policy == "random" else free
        considered = _considered(pool, chosen, request, sight, why_not) + others
        if free is not None:
            prospect = _Prospect("sent", "somebody can take it now")
        elif pool.resting and pool.expects:
            prospect = _Prospect("waiting", "it waits for a session to come back")
        elif pool.resting:
            prospect = _Prospect("waiting", "no worker accepts tasks now: do_not_disturb or offline")
        else:
            prospect = _Prospect("waiting", "nobody has room for it")
        return Explanation(
            outcome=prospect.outcome,
            reason=prospect.reason,
            considered=_shown(considered),
            total=len(considered),
        )

    def _not_serving(self, capability: str, sight: Sight) -> Iterator[Considered]:
        """Sessions that declare a capability which their token does not let them serve."""
        for entry in self._directory.entries(connected=True, capability=capability, sight=sight):
            for session in self._directory.live(entry.entity_id):
                declares = capability in self._directory.said(session).capabilities
                if declares and not session.principal.permissions.allow_on(SERVE, capability):
                    yield Considered(
                        entity_id=entry.entity_id,
                        session_id=session.session_id,
                        chosen=False,
                        reason=f"its token lacks {SERVE}:{capability}",
                    )


def _of_session(session: Session, chosen: bool, keeping: bool) -> str:
    """Why a session is chosen or not; C{keeping}: whether one of its entity acknowledges."""
    if chosen:
        return f"the newest session that {'acknowledges and ' if keeping else ''}keeps up with reading"
    if session.mail.pull:
        return "it asks for its mail"
    if session.connection.behind:
        return "slow to read"
    if keeping and not session.acknowledges:
        return "another session acknowledges, and only those that do get mail"
    if session.silent:
        return "it shows no sign of life: others come first"
    return "a newer session is here"


def _considered(
    pool: Pool, chosen: Worker | None, request: CallRequest, sight: Sight, why_not: WhyNot
) -> list[Considered]:
    """The workers of a pool, as far as somebody sees them."""
    return [
        Considered(
            entity_id=worker.session.entity_id,
            session_id=worker.session.session_id,
            chosen=worker is chosen,
            reason=_of_worker(worker, chosen, request, why_not),
        )
        for worker in (*pool.workers, *pool.absent)
        if sight.sees(worker.session.entity_id)
    ]


def _slow(worker: Worker) -> str | None:
    """See L{WhyNot}, for calls."""
    return None if reads(worker) else "slow to read"


def _of_worker(worker: Worker, chosen: Worker | None, request: CallRequest, why_not: WhyNot) -> str:
    load = f"{worker.load} of {'any number' if worker.max_inflight is None else worker.max_inflight} calls"
    if worker.given_up:
        load += f", {len(worker.given_up)} of them given up and not answered"
    if worker is chosen:
        return f"chosen by {request.policy}: it has {load}"
    if worker.session.detached:
        return "its connection broke, and its place is kept"
    if worker.resting:
        return "it accepts no calls now: do_not_disturb or offline"
    if not worker.available:
        return f"full: it has {load}"
    if (why := why_not(worker)) is not None:
        return why
    others = "as likely as the others" if chosen is None else f"another one is chosen by {request.policy}"
    if worker.session.silent:
        others = "it shows no sign of life, and others come first"
    return f"{others}: it has {load}"


def _of_pool(pool: Pool, free: Worker | None) -> _Prospect:
    if free is not None:
        return _Prospect("sent", "somebody can take it now")
    if pool.resting and pool.expects:
        return _Prospect("waiting", f"it waits for a session to come back; {len(pool.waiting)} calls wait already")
    if pool.resting:
        return _Prospect("refused", "no worker accepts calls now: do_not_disturb or offline")
    return _Prospect("waiting", f"all are busy; {len(pool.waiting)} calls wait already")


def _shown(considered: Iterable[Considered]) -> tuple[Considered, ...]:
    return tuple(sorted(considered, key=lambda one: not one.chosen)[:MAX_CONSIDERED])
