"""What agents need to rely on each other, put together: mail and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.workers import SERVE, Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.explain import Explain
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.quotas import Quotas
from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.mail.sending import Mail
from cell0gw.agents.mail.store import IMailStore
from cell0gw.agents.message_ids import Lineage, MessageIds
from cell0gw.auth.credentials import Credentials
from cell0gw.presence.directory import Directory
from cell0gw.process.interfaces import ISweeper
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import MailLimits
from cell0gw.sessions.observers import ISessionObserver


class Agents:
    """The parts, by name.

    @param emit: C{emit(channel, type, data)} brings an event to those who listen.
    @ivar observers: those that are to hear of sessions, after the directory.
    @ivar sweepers: those that are to sweep now and then.
    @ivar permissions: those that no method has, and whether each may be narrowed by a pattern.
    """

    def __init__(
        self,
        store: IMailStore,
        limits: MailLimits,
        directory: Directory,
        credentials: Credentials,
        emit: Callable[[str, str, Any], Any],
        runtime: Runtime,
    ) -> None:
        clock = runtime.clock
        self._store = store
        self._recipients = Recipients(store, credentials, runtime.wall)
        self._conversations = Conversations(
            clock, emit, limits.max_hops, limits.conversation_rate, self._lineage_of_call
        )
        self._receipts = Receipts(store, directory, clock, limits.heartbeat_timeout)
        quotas = Quotas(limits)
        self.mailboxes = Mailboxes(store, directory, self._receipts, quotas, runtime)
        self.mail = Mail(
            store,
            directory,
            self._recipients,
            self._conversations,
            self.mailboxes,
            runtime,
            ttl=limits.mail_ttl,
            key_window=limits.idempotency_window,
        )
        self.workers = Workers(directory, runtime.randbelow)
        self.calls = Dealer(self.workers, self._recipients, self._conversations, runtime)
        self.explain = Explain(
            directory, self.mail, self.mailboxes, quotas, self._conversations, self.workers, self.calls
        )
        self.observers: list[ISessionObserver] = [
            self._recipients, self.workers, self.calls, self._receipts, self.mailboxes,
        ]  # fmt: skip
        self.sweepers: list[ISweeper] = [
            self.mailboxes, self._receipts, self.mail, self._conversations, self.calls.assignments,
        ]  # fmt: skip

        self.permissions = {SERVE: True}

    def load(self) -> None:
        """Take up what the store kept."""
        stored = self._store.load()
        self._conversations.ids = MessageIds(stored.key)
        self._recipients.load(stored.holders)
        if stored.holders:
            self.calls.await_return()
        self.mailboxes.load(stored)
        self._receipts.load(stored.unreported, stored.newest_report)

    def _lineage_of_call(self, call_id: str, entity_id: str) -> Lineage | None:
        """See L{Dealer.lineage}: the dealer needs the conversations as well, and is made after them."""
        return self.calls.lineage(call_id, entity_id)
