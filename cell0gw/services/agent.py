"""``agent``: messages and calls from one to another, and which agents there are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import attrgetter
from typing import Any, cast

import msgspec
from msgspec import UNSET
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.agents.agents import Agents
from cell0gw.agents.entries import AgentDescription, AgentEntry, AgentPage
from cell0gw.auth.sight import EVERYONE, Sight
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.entries import AnonymousEntry, AnonymousPage, PresenceEntry
from cell0gw.presence.presence import Presence
from cell0gw.protocol.errors import NotFound
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.subjects import Name
from cell0gw.rpc.access import anonymous_read, session
from cell0gw.rpc.idempotency import Idempotency
from cell0gw.rpc.pages import Cursor, PageLimit, page
from cell0gw.services.agent_calls import CallMethods
from cell0gw.services.agent_mail import MailMethods
from cell0gw.services.agent_work import WorkMethods
from cell0gw.sessions.session import Caller
from cell0gw.tasks.tasks import Tasks


@implementer(IStatistics)
class AgentService(MailMethods, CallMethods, WorkMethods, Service):
    """Agents, one to one."""

    name = "agent"

    def __init__(
        self,
        presence: Presence,
        agents: Agents,
        tasks: Tasks,
        idempotency: Idempotency,
        limits: Limits,
    ) -> None:
        MailMethods.__init__(self, agents, tasks, idempotency, limits)
        CallMethods.__init__(self, agents)
        WorkMethods.__init__(self, agents, tasks)
        self._directory = presence.directory
        self._listings = presence.by_capability
        self._conversations = agents.conversations
        self._workers = agents.workers

    @anonymous_read
    def rpc_list(
        self,
        caller: Caller,
        *,
        capability: Name | None = None,
        limit: PageLimit | None = None,
        after: Cursor | None = None,
    ) -> list[AgentEntry] | list[AnonymousEntry] | AgentPage | AnonymousPage:
        """List the agents that are online, or those of them that have a capability.

        These are the entities of type `agent` that are connected and whose status is not `offline`. Clients that have
        not authenticated get `AnonymousEntry`. A token may show some entities only, see docs/protocol.md#sight.
        `capability` goes by what agents declare; whether a token lets an agent serve it is another question, which
        `gateway.explain` answers.

        - `capability`: only agents that declared it
        - `limit`: maximum agents of a page; null: as many as fit the answer
        - `after`: `next` of the page before, or an `entity_id`; null: the first page
        - `result`: the agents, sorted by `entity_id`; or a page of them, if `limit` or `after` is given, or if
          they don't all fit the answer, see docs/protocol.md#pages
        - `not_authenticated`: anonymous reads are off, and the client has not authenticated
        """
        room, all_asked = self._limits.max_content_size, limit is None and after is None
        if caller.principal is None:
            listed = self._listings.of(capability, partial(self._online, capability))
            if all_asked and listed.size <= room:
                return cast(Any, listed.whole)
            shown, last = page(listed.after(after), limit, room, attrgetter("text"))
            return AnonymousPage(entries=cast(Any, shown), next=UNSET if last is None else last.entity_id)
        shown, end = page(map(self._with_load, self._online(capability, after, caller.sight)), limit, room)
        if all_asked and end is None:
            return cast(Any, shown)
        return AgentPage(entries=cast(Any, shown), next=UNSET if end is None else end.entity_id)

    @session
    def rpc_describe(self, caller: Caller, *, agent_id: Name) -> AgentDescription:
        """Describe what an agent can do, with the schemas that it gave of it.

        It may be an entity of any type. docs/protocol.md#described-capabilities says what a description has.

        - `agent_id`: the agent
        - `not_found`: it is not present, or the token does not show it, see docs/protocol.md#sight
        """
        entry = self._directory.get(agent_id)
        if entry is None or not caller.sight.sees(agent_id):
            raise NotFound(f"{agent_id} is not here")
        return AgentDescription(
            entity_id=agent_id,
            entity_type=entry.entity_type,
            status=entry.status,
            metadata=entry.metadata,
            capabilities=cast(Any, self._directory.describe(agent_id)),
        )

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        mail, calls, waiting = self._mail, self._calls, self._mailboxes.waiting
        return Counts(
            current={
                "mailboxes": len(self._mailboxes),
                "messages_waiting": waiting.messages,
                "bytes_waiting": waiting.size,
                "calls_inflight": len(calls),
                "calls_waiting": calls.waiting,
            },
            total={
                "messages_sent": mail.sent,
                "messages_queued": mail.queued,
                "messages_expired": self._mailboxes.expired,
                "mail_delivered": self._mailboxes.delivered,
                "loops_refused": self._conversations.refused,
                "calls": calls.made,
                "calls_answered": calls.answered,
                "calls_failed": calls.failed,
                "answers_late": calls.late,
            },
        )

    def _online(
        self, capability: str | None, after: str | None = None, sight: Sight = EVERYONE
    ) -> Iterator[PresenceEntry]:
        entries = self._directory.entries("agent", connected=True, capability=capability, after=after, sight=sight)
        return (entry for entry in entries if entry.status != "offline")

    def _with_load(self, entry: PresenceEntry) -> AgentEntry:
        load = self._workers.load(entry.entity_id)
        return AgentEntry(**msgspec.structs.asdict(entry), inflight=load.inflight, max_inflight=load.max_inflight)
