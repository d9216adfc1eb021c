"""What agents need to rely on each other, put together: mail and calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.workers import Workers
from cell0gw.agents.conversations import Conversations
from cell0gw.agents.explain import Explain
from cell0gw.agents.mail.archive import Archive
from cell0gw.agents.mail.delivery import Mailboxes
from cell0gw.agents.mail.quotas import Quotas
from cell0gw.agents.mail.receipts import Receipts
from cell0gw.agents.mail.recipients import Recipients
from cell0gw.agents.mail.sending import Mail
from cell0gw.agents.mail.store import IMailStore
from cell0gw.agents.message_ids import Lineage
from cell0gw.auth.credentials import Credentials
from cell0gw.presence.directory import Directory
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import MailLimits


class Agents:
    """The parts, by name.

    @param emit: C{emit(channel, type, data)} sends an event to the subscribers of its channel.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
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
        self.conversations = Conversations(
            clock, emit, limits.max_hops, limits.conversation_rate, self._lineage_of_call
        )
        self._receipts = Receipts(store, directory, clock, limits.heartbeat_timeout)
        self.mailboxes = Mailboxes(store, directory, self._receipts, Quotas(limits), runtime)
        self.mail = Mail(directory, self._recipients, self.conversations, self.mailboxes, limits, runtime)
        self.archive = Archive(store, runtime)
        self.workers = Workers(directory, runtime.randbelow)
        self.calls = Dealer(self.workers, self.conversations, runtime)
        self.explain = Explain(directory, self.mail, self.mailboxes, self.conversations, self.workers, self.calls)
        self.parts = (
            self._recipients, self.workers, self.calls, self._receipts, self.mailboxes, self.archive,
            self.conversations,
        )  # fmt: skip

    def load(self) -> None:
        """Load what the store kept."""
        stored = self._store.load()
        self.conversations.load(stored.key)
        self._recipients.load(stored.holders)
        self.mailboxes.load(stored)
        self._receipts.load(stored.unreported, stored.newest_report)

    def _lineage_of_call(self, call_id: str, entity_id: str) -> Lineage | None:
        """See L{Dealer.lineage}: the dealer needs the conversations as well, and is made after them."""
        return self.calls.lineage(call_id, entity_id)
