"""What agents need to rely on each other, put together: mail and calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cell0gw.agents.calls.dealer import Dealer
from cell0gw.agents.calls.inputs import Inputs
from cell0gw.agents.calls.targets import Targets
from cell0gw.agents.calls.workers import SERVE, Workers
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
from cell0gw.presence.presence import Presence
from cell0gw.process.runtime import Runtime
from cell0gw.protocol.limits import Limits, MailLimits
from cell0gw.sessions.signs import Signs


class Agents:
    """The parts, by name.

    @param limits: maximum bytes of what is relayed; C{mail_limits}: of the mail that waits, and of conversations.
    @param emit: see L{Conversations}.
    @ivar parts: what is notified of sessions, sweeps, drains and changed options, in this order.
    @ivar permissions: those that are no method's, and whether each may be narrowed by a pattern.
    @ivar lineages: each gives the conversation of work that is under way, see L{Dealer.lineage}.
    """

    def __init__(
        self,
        store: IMailStore,
        limits: Limits,
        mail_limits: MailLimits,
        presence: Presence,
        credentials: Credentials,
        signs: Signs,
        emit: Callable[[str, str, Any, Sequence[str]], Any],
        runtime: Runtime,
    ) -> None:
        clock, directory = runtime.clock, presence.directory
        self._store = store
        self._recipients = Recipients(store, credentials, runtime.wall)
        self.conversations = Conversations(
            clock, emit, mail_limits.max_hops, mail_limits.conversation_rate, self._lineage_of_call
        )
        self._receipts = Receipts(store, directory, clock, mail_limits.heartbeat_timeout)
        quotas, most = Quotas(mail_limits), mail_limits.max_attempts
        self.mailboxes = Mailboxes(store, directory, self._receipts, quotas, runtime, most)
        self.mail = Mail(directory, self._recipients, self.conversations, self.mailboxes, limits, mail_limits, runtime)
        self.archive = Archive(store, runtime)
        self.workers = Workers(directory, signs, runtime.randbelow)
        inputs = Inputs(directory, presence.validators)
        self.targets = Targets(self.workers, self._recipients.__contains__, clock, inputs)
        self.calls = Dealer(self.workers, self.targets, self.conversations, limits, runtime)
        self.explain = Explain(directory, self.mail, self.mailboxes, self.conversations, self.targets, self.calls)
        self.parts = (
            self._recipients, self.workers, self.calls, self._receipts, self.mailboxes, self.archive,
            self.conversations,
        )  # fmt: skip
        self.permissions = {SERVE: True}
        self.lineages: list[Callable[[str, str], Lineage | None]] = [self.calls.lineage]

    def load(self) -> None:
        """Load what the store kept."""
        stored = self._store.load()
        self.conversations.load(stored.key)
        self._recipients.load(stored.holders)
        if stored.holders:
            self.targets.await_return()
        self.mailboxes.load(stored)
        self._receipts.load(stored.unreported, stored.newest_report)

    def _lineage_of_call(self, call_id: str, entity_id: str) -> Lineage | None:
        """See L{Dealer.lineage}: the dealer needs the conversations as well, and is made after them."""
        found = (lineage(call_id, entity_id) for lineage in self.lineages)
        return next((each for each in found if each is not None), None)
