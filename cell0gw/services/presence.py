"""``presence``: who is here, and what they say of themselves."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, cast

import msgspec
from msgspec import Meta
from twisted.application.service import Service
from zope.interface import implementer

from cell0gw.auth.principal import EntityType
from cell0gw.monitoring.statistics import Counts, IStatistics
from cell0gw.presence.directory import AnonymousEntry, PresenceEntry, PresenceStatus, anonymous
from cell0gw.presence.presence import Presence
from cell0gw.presence.watches import PresenceSnapshot
from cell0gw.protocol.errors import InvalidParams, NotFound, TooLarge
from cell0gw.protocol.limits import MAX_METADATA_SIZE
from cell0gw.protocol.subjects import Name, Pattern
from cell0gw.rpc.access import anonymous_read, session
from cell0gw.sessions.session import Caller

Text = Annotated[str, Meta(max_length=1000)]


class PresenceUpdated(msgspec.Struct, frozen=True):
    """The request succeeded."""

    success: bool = True


@implementer(IStatistics)
class PresenceService(Service):
    """Presence of entities."""

    name = "presence"

    def __init__(self, presence: Presence) -> None:
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
        """Update presence. `status_message` and `activity` are replaced with the status; metadata stays if omitted."""
        assert caller.session is not None
        words: dict[str, Any] = {"status": status, "status_message": status_message, "activity": activity}
        if metadata is not None:
            if len(msgspec.json.encode(metadata)) > MAX_METADATA_SIZE:
                raise TooLarge(f"metadata is at most {MAX_METADATA_SIZE} bytes of JSON")
            words["metadata"] = metadata
        self._directory.update(caller.session, **words)
        return PresenceUpdated()

    @anonymous_read
    def rpc_get(
        self, caller: Caller, *, entity_id: Name | None = None, entity_type: EntityType | None = None
    ) -> PresenceEntry | AnonymousEntry | list[PresenceEntry] | list[AnonymousEntry]:
        """Get the presence of one entity, or list all, or those of a type."""
        if entity_id is None:
            if caller.principal is None:
                return cast(Any, self._listings.of(entity_type, partial(self._directory.entries, entity_type)))
            return list(self._directory.entries(entity_type))
        if entity_type is not None:
            raise InvalidParams("Invalid params: either entity_id or entity_type")
        entry = self._directory.get(entity_id)
        if entry is None:
            raise NotFound(f"{entity_id} is not here")
        return entry if caller.principal else anonymous(entry)

    @session
    def rpc_subscribe(self, caller: Caller, *, pattern: Pattern = ">") -> PresenceSnapshot:
        """Subscribe to presence. The result is a snapshot; changes follow as `presence.diff`."""
        assert caller.session is not None
        return self._watches.watch(caller.session, pattern)

    @session
    def rpc_unsubscribe(self, caller: Caller, *, pattern: Pattern = ">") -> PresenceUpdated:
        """Unsubscribe from presence, with the pattern of the subscription."""
        assert caller.session is not None
        self._watches.unwatch(caller.session, pattern)
        return PresenceUpdated()

    def statistics(self) -> Counts:
        """See L{IStatistics}."""
        return Counts(current={"entities": len(self._directory)}, total={})
