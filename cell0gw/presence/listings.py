"""Presence for anonymous clients: encoded once for all of them, until an entity joins, leaves or changes."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec
from msgspec import Raw

from cell0gw.presence.directory import Directory
from cell0gw.presence.entries import PresenceEntry, anonymous

MOST: Final = 100
"""Maximum lists that are kept, of types and capabilities: anonymous clients name them."""


class Written(NamedTuple):
    """An entry as JSON, and whose it is."""

    entity_id: str
    text: bytes


class Listing:
    """A list of entries, sorted by their ids, each encoded.

    @ivar size: how many bytes they have in one answer.
    """

    def __init__(self, entries: Iterable[PresenceEntry]) -> None:
        self._entries = [Written(entry.entity_id, msgspec.json.encode(anonymous(entry))) for entry in entries]
        self.size = sum(len(entry.text) + 1 for entry in self._entries)

    @cached_property
    def whole(self) -> Raw:
        """All of it, in one piece."""
        return Raw(b"[" + b",".join(entry.text for entry in self._entries) + b"]")

    def after(self, entity_id: str | None) -> Sequence[Written]:
        """Those beyond an id; None: all."""
        if entity_id is None:
            return self._entries
        return self._entries[bisect.bisect_right(self._entries, entity_id, key=lambda entry: entry.entity_id) :]


class Listings:
    """Lists that cost no more than other calls, however many are here: any anonymous client can ask for them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = directory.version
        self._written: dict[str | None, Listing] = {}

    def of(self, which: str | None, entries: Callable[[], Iterable[PresenceEntry]]) -> Listing:
        """One list.

        @param which: names it.
        @param entries: gives who is in it.
        """
        if self._version != self._directory.version or len(self._written) >= MOST:
            self._written.clear()
            self._version = self._directory.version
        written = self._written.get(which)
        if written is None:
            written = self._written[which] = Listing(entries())
        return written
