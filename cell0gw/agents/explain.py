"""Which session would get a message or a call, and why others would not. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from cell0gw.agents.calls.assignments import reads
from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.workers import SERVE, Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.sending import Mail
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.presence.directory import Directory
from cell0gw.sessions.session import Sender, Session

MAX_CONSIDERED = 100
"""Maximum sessions considered that an explanation shows."""


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was considered, and why it would be chosen or not."""

    entity_id: str
    session_id: str
    chosen: bool
    reason: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway would do with a message or a call.

    `outcome` is sent, queued, waiting or refused; `reason` says why. `near` are existing names similar to an unknown
    one. `considered` are candidate sessions, the chosen one first; `total` is how many there are.
    """

    outcome: str
    reason: str
    near: tuple[str, ...] = ()
    considered: tuple[Considered, ...] = ()
    total: int = 0


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
        workers: Workers,
        calls: Dealer,
    ) -> None:
        self._directory = directory
        self._mail = mail
        self._mailboxes = mailboxes
        self._conversations = conversations
        self._workers = workers
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
        if not self._mail.reaches(recipient):
            reason = "no valid token names this id, and it never had a session"
            return Explanation(
                outcome="refused", reason=reason, near=tuple(self._mail.near(recipient, sender.permissions))
            )
        self._conversations.place(MESSAGE, sender.entity_id, recipient, in_reply_to, dry=True)
        sessions = self._directory.live(recipient)[::-1]
        chosen = self._directory.route(recipient, reading=True)
        considered = [
            Considered(
                entity_id=recipient,
                session_id=session.session_id,
                chosen=session is chosen,
                reason=_of_session(session, session is chosen),
            )
            for session in sessions
        ]
        if kept or chosen is None or chosen.acknowledges or recipient in self._mailboxes:
            self._mailboxes.check(sender.entity_id, recipient, size)
        waits = chosen is None or self._mailboxes.queues(recipient)
        if not sessions:
            reason = "it is away: the message waits in its mailbox"
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
        others = [] if request.capability is None else list(self._not_serving(request.capability))
        if pool is None:
            return Explanation(
                outcome="refused",
                reason="nobody here serves it",
                near=tuple(self._calls.near(request, sender.permissions)),
                considered=_shown(others),
                total=len(others),
            )
        self._conversations.place(MESSAGE, sender.entity_id, request.target, request.in_reply_to, dry=True)
        free = pool.preview(request.policy, request.key, reads)
        chosen = None if request.policy == "random" else free
        considered = [
            Considered(
                entity_id=worker.session.entity_id,
                session_id=worker.session.session_id,
                chosen=worker is chosen,
                reason=_of_worker(worker, chosen, request),
            )
            for worker in pool.workers
        ] + others
        prospect = _of_pool(pool, free)
        return Explanation(
            outcome=prospect.outcome,
            reason=prospect.reason,
            considered=_shown(considered),
            total=len(considered),
        )

    def _not_serving(self, capability: str) -> Iterator[Considered]:
        """Sessions that declare a capability which their token does not let them serve."""
        for entry in self._directory.entries(connected=True, capability=capability):
            for session in self._directory.live(entry.entity_id):
                declares = capability in self._directory.said(session).capabilities
                if declares and not session.principal.permissions.allow_on(SERVE, capability):
                    yield Considered(
                        entity_id=entry.entity_id,
                        session_id=session.session_id,
                        chosen=False,
                        reason=f"its token lacks {SERVE}:{capability}",
                    )


def _of_session(session: Session, chosen: bool) -> str:
    if chosen:
        return "the newest session that keeps up with reading"
    if session.connection.behind:
        return "slow to read"
    return "a newer session is here"


def _of_worker(worker: Worker, chosen: Worker | None, request: CallRequest) -> str:
    load = f"{len(worker.calls)} of {'any number' if worker.max_inflight is None else worker.max_inflight} calls"
    if worker is chosen:
        return f"chosen by {request.policy}: it has {load}"
    if worker.resting:
        return "it accepts no calls now: do_not_disturb or offline"
    if not worker.available:
        return f"full: it has {load}"
    if not reads(worker):
        return "slow to read"
    if chosen is None:
        return f"as likely as the others: it has {load}"
    return f"another one is chosen by {request.policy}: it has {load}"


def _of_pool(pool: Pool, free: Worker | None) -> _Prospect:
    if free is not None:
        return _Prospect("sent", "somebody can take it now")
    if pool.resting:
        return _Prospect("refused", "no worker accepts calls now: do_not_disturb or offline")
    return _Prospect("waiting", f"all are busy; {len(pool.waiting)} calls wait already")


def _shown(considered: Iterable[Considered]) -> tuple[Considered, ...]:
    return tuple(sorted(considered, key=lambda one: not one.chosen)[:MAX_CONSIDERED])
