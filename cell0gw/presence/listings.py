"""Presence for anonymous clients: encoded once for all of them, until an entity joins, leaves or changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Raw

from cell0gw.presence.directory import Directory, PresenceEntry, anonymous

MOST: Final = 100
"""Maximum lists that are kept, of types and capabilities: anonymous clients name them."""


class Listings:
    """Lists that cost no more than other calls, however many are here: any anonymous client can ask for them."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._version = directory.version
        self._written: dict[str | None, Raw] = {}

    def of(self, which: str | None, entries: Callable[[], Iterable[PresenceEntry]]) -> Raw:
        """One list.

        @param which: names it.
        @param entries: gives who is in it.
        """
        if self._version != self._directory.version or len(self._written) >= MOST:
            self._written.clear()
            self._version = self._directory.version
        written = self._written.get(which)
        if written is None:
            written = self._written[which] = Raw(msgspec.json.encode([anonymous(entry) for entry in entries()]))
        return written
