"""Who would get a message or a call, and why the others not: the routes are asked, and nothing is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from cell0gw.agents.calls.assignments import reads
from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.pools import Pool, Worker
from cell0gw.agents.calls.workers import SERVE, Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.quotas import Quotas
from cell0gw.agents.mail.sending import Mail
from cell0gw.agents.message_ids import MESSAGE
from cell0gw.auth.permissions import Permissions
from cell0gw.presence.directory import Directory
from cell0gw.sessions.session import Session

MAX_CONSIDERED = 100
"""So many who were considered are shown."""


class Considered(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was considered, and why it would get it or not."""

    entity_id: str
    session_id: str
    chosen: bool
    reason: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a message or a call: sent, queued, waiting, or refused, and why.

    @ivar near: names that look like one that nobody has.
    @ivar considered: sessions that could have got it, the chosen one first; C{total}: how many there are.
    """

    outcome: str
    reason: str
    near: tuple[str, ...] = ()
    considered: tuple[Considered, ...] = ()
    total: int = 0


class Explain:
    """Asks the routes."""

    def __init__(
        self,
        directory: Directory,
        mail: Mail,
        mailboxes: Mailboxes,
        quotas: Quotas,
        conversations: Conversations,
        workers: Workers,
        calls: Dealer,
    ) -> None:
        self._directory = directory
        self._mail = mail
        self._mailboxes = mailboxes
        self._quotas = quotas
        self._conversations = conversations
        self._workers = workers
        self._calls = calls

    def message(
        self,
        sender: str,
        permissions: Permissions,
        recipient: str,
        size: int,
        in_reply_to: str | None = None,
        kept: bool = False,
    ) -> Explanation:
        """What would become of a message.

        @param permissions: the sender's.
        @param size: of the message, in bytes.
        @param kept: whether it is to be kept in any case, for its receipts or its key.
        @raise RPCError: what its sender would get, but for who is not found.
        """
        if not self._mail.reaches(recipient):
            reason = "no valid token names this id, and it never had a session"
            return Explanation(outcome="refused", reason=reason, near=tuple(self._mail.near(recipient, permissions)))
        self._conversations.place(MESSAGE, sender, recipient, in_reply_to, dry=True)
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
            self._quotas.check(sender, recipient, size)
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

    def call(self, sender: str, permissions: Permissions, request: CallRequest) -> Explanation:
        """What would become of a call, if nothing changes.

        @param permissions: the caller's.
        @raise RPCError: what its sender would get, but for who is not found.
        """
        pool = self._calls.assignments.pool(request)
        others = [] if request.capability is None else list(self._not_serving(request.capability))
        if pool is None:
            known = self._calls.is_known(request)
            return Explanation(
                outcome="refused",
                reason="nobody who serves it is here now" if known else "nobody here serves it",
                near=() if known else tuple(self._calls.near(request, permissions)),
                considered=_shown(others),
                total=len(others),
            )
        self._conversations.place(MESSAGE, sender, request.target, request.in_reply_to, dry=True)
        free = pool.preview(request.policy, request.key, reads)
        chosen = None if request.policy == "random" else free
        considered = [
            Considered(
                entity_id=worker.session.entity_id,
                session_id=worker.session.session_id,
                chosen=worker is chosen,
                reason=_of_worker(worker, chosen, request),
            )
            for worker in (*pool.workers, *pool.absent)
        ] + others
        outcome, reason = _of_pool(pool, free)
        return Explanation(outcome=outcome, reason=reason, considered=_shown(considered), total=len(considered))

    def _not_serving(self, capability: str) -> Iterator[Considered]:
        """Who says it can, and may not."""
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
    if worker.session.detached:
        return "its connection broke, and its place is kept"
    if worker.resting:
        return "it wants no calls now"
    if not worker.available:
        return f"full: it has {load}"
    if not reads(worker):
        return "slow to read"
    others = "as likely as the others" if chosen is None else f"another one is chosen by {request.policy}"
    return f"{others}: it has {load}"


def _of_pool(pool: Pool, free: Worker | None) -> tuple[str, str]:
    if free is not None:
        return "sent", "somebody can take it now"
    if pool.resting and pool.expects:
        return "waiting", f"it waits for a session to come back; {len(pool.waiting)} calls wait already"
    if pool.resting:
        return "refused", "whoever serves it wants no calls now"
    return "waiting", f"all are busy; {len(pool.waiting)} calls wait already"


def _shown(considered: Iterable[Considered]) -> tuple[Considered, ...]:
    return tuple(sorted(considered, key=lambda one: not one.chosen)[:MAX_CONSIDERED])
