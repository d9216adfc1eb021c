"""``presence``: who is here, and what they say of themselves."""

from __future__ import annotations

from functools import partial
from operator import attrgetter
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.auth.principal import EntityType
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.entries import (
    AnonymousEntry,
    AnonymousPage,
    PresenceEntry,
    PresencePage,
    PresenceStatus,
    anonymous,
    metadata_of,
)
from cell0gw.presence.presence import Presence
from cell0gw.presence.watches import PresenceSnapshot
from cell0gw.protocol.errors import InvalidParams, NotFound
from cell0gw.protocol.limits import Limits
from cell0gw.protocol.subjects import Name, Pattern
from cell0gw.rpc.access import anonymous_read, session
from cell0gw.rpc.pages import Cursor, PageLimit, page
from cell0gw.sessions.session import Caller

Text = Annotated[str, Meta(max_length=1000)]


class PresenceUpdated(msgspec.Struct, frozen=True):
    """The request succeeded.

    - `success`: true
    """

    success: bool = True


@implementer(IStatistics)
class PresenceService(Service):
    """Presence of entities."""

    name = "presence"

    def __init__(self, presence: Presence, limits: Limits) -> None:
        self._limits = limits
        self._directory = presence.directory
        self._listings = presence.by_type
        self._watches = presence.watches

    def stopService(self) -> None:
        """See L{IService}."""
        super().stopService()
        self._watches.stop()

    @session
    def rpc_update(
        self,
        caller: Caller,
        *,
        status: PresenceStatus,
        status_message: Text | None = None,
        activity: Text | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> PresenceUpdated:
        """Update presence. `status_message` and `activity` are replaced with the status; metadata stays if omitted.

        An entity that is `offline` stays connected and gets messages, but is not in `agent.list`. A session that is
        `offline` or `do_not_disturb` gets no new calls, see docs/protocol.md#who-is-asked.

        - `status`: how the entity is doing
        - `status_message`: for people; null: none
        - `activity`: what it is doing; null: nothing
        - `metadata`: what else others can see of it, at most 8192 bytes of JSON; null: what there was
        - `too_large`: too much metadata
        """
        assert caller.session is not None
        words: dict[str, Any] = {"status": status, "status_message": status_message, "activity": activity}
        if metadata is not None:
            words["metadata"] = metadata_of(metadata)
        self._directory.update(caller.session, **words)
        return PresenceUpdated()

    @anonymous_read
    def rpc_get(
        self,
        caller: Caller,
        *,
        entity_id: Name | None = None,
        entity_type: EntityType | None = None,
        limit: PageLimit | None = None,
        after: Cursor | None = None,
    ) -> PresenceEntry | AnonymousEntry | list[PresenceEntry] | list[AnonymousEntry] | PresencePage | AnonymousPage:
        """Get the presence of one entity, or list all, or those of a type.

        An entity is present while one of its sessions is connected, or kept after its connection broke. The latest
        word of a connected session counts, and one that says nothing changes nothing, see docs/protocol.md#presence. If
        none is connected, the status is `away`. Clients that have not authenticated get `AnonymousEntry`. A token
        may show some entities only, see docs/protocol.md#sight.

        - `entity_id`: one entity
        - `entity_type`: all of a type; with neither, everyone
        - `limit`: maximum entities of a page; null: as many as fit the answer
        - `after`: `next` of the page before, or an `entity_id`; null: the first page
        - `result`: an entry for `entity_id`. Otherwise an array of entries, sorted by `entity_id`; or a page of
          them, if `limit` or `after` is given, or if they don't all fit the answer, see docs/protocol.md#pages
        - `not_found`: the entity is not present, or the token does not show it
        - `not_authenticated`: anonymous reads are off, and the client has not authenticated
        - `invalid_params`: `entity_id` is given and another param, too
        """
        if entity_id is None:
            room, all_asked = self._limits.max_content_size, limit is None and after is None
            if caller.principal is None:
                listed = self._listings.of(entity_type, partial(self._directory.entries, entity_type))
                if all_asked and listed.size <= room:
                    return cast(Any, listed.whole)
                shown, last = page(listed.after(after), limit, room, attrgetter("text"))
                return AnonymousPage(entries=cast(Any, shown), next=UNSET if last is None else last.entity_id)
            shown, end = page(self._directory.entries(entity_type, after=after, sight=caller.sight), limit, room)
            if all_asked and end is None:
                return cast(Any, shown)
            return PresencePage(entries=cast(Any, shown), next=UNSET if end is None else end.entity_id)
        if entity_type is not None or limit is not None or after is not None:
            raise InvalidParams("Invalid params: entity_id stands alone")
        entry = self._directory.get(entity_id)
        if entry is None or not caller.sight.sees(entity_id):
            raise NotFound(f"{entity_id} is not here")
        return entry if caller.principal else anonymous(entry)

    @session
    def rpc_subscribe(
        self, caller: Caller, *, pattern: Pattern = ">", limit: PageLimit | None = None, after: Cursor | None = None
    ) -> PresenceSnapshot:
        """Subscribe to presence. The result is a snapshot; changes follow as `presence.diff`.

        Watching a pattern twice changes nothing, and answers how things stand: so the pages of a snapshot are had, too,
        see docs/protocol.md#pages. A version means something on this connection only.

        - `pattern`: which entities to watch, by `entity_id`
        - `limit`: maximum entities of a page; null: as many as fit the answer
        - `after`: `next` of the page before; null: the first page
        - `invalid_params`: the pattern has more than 16 segments, or more than four `*`
        - `too_large`: the session watches 100 patterns, and this one is not watched
        """
        assert caller.session is not None
        version, entries = self._watches.watch(caller.session, pattern, after)
        shown, last = page(entries, limit, self._limits.max_content_size)
        return PresenceSnapshot(
            version=version, entries=cast(Any, shown), next=UNSET if last is None else last.entity_id
        )

    @session
    def rpc_unsubscribe(self, caller: Caller, *, pattern: Pattern = ">") -> PresenceUpdated:
        """Unsubscribe from presence, with the pattern of the subscription.

        Nothing changes for a pattern that the session does not watch.

        - `pattern`: the same text as in `presence.subscribe`
        """
        assert caller.session is not None
        self._watches.unwatch(caller.session, pattern)
        return PresenceUpdated()

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        return Counts(current={"entities": len(self._directory)}, total={})
