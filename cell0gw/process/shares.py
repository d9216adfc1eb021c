"""Shares of what all use together: who has most of it, and what they lose first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Counts:
    """How many each owner has. Who has most is found at once, however many owners there are.

    @ivar total: how many all have together.
    """

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        # The owners by how many they have, and the greatest of these numbers.
        self._owners: dict[int, OrderedDict[str, None]] = {}
        self._most = 0
        self.total = 0

    def __getitem__(self, owner: str) -> int:
        return self._counts.get(owner, 0)

    def most(self) -> str:
        """The owner who has most; of several the one who came to that first."""
        return next(iter(self._owners[self._most]))

    def add(self, owner: str) -> None:
        """Count one more."""
        self.total += 1
        self._set(owner, self[owner] + 1)

    def remove(self, owner: str) -> None:
        """Count one less."""
        self.total -= 1
        self._set(owner, self[owner] - 1)

    def _set(self, owner: str, count: int) -> None:
        before = self._counts.pop(owner, 0)
        if before:
            owners = self._owners[before]
            del owners[owner]
            if not owners:
                del self._owners[before]
        if count:
            self._counts[owner] = count
            self._owners.setdefault(count, OrderedDict())[owner] = None
        if count > self._most or self._most not in self._owners:
            self._most = count if count > self._most else self._most - 1


class Shared(Generic[Key, Value]):
    """Values by their keys, each of an owner; of too many, who has most loses what was not used for longest."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Key, tuple[Value, str]] = OrderedDict()
        self._of_owner: dict[str, OrderedDict[Key, None]] = {}
        self._counts = Counts()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Value | None:
        """The value of a key, which is used by that; None: there is none."""
        found = self._entries.get(key)
        if found is None:
            return None
        value, owner = found
        self._of_owner[owner].move_to_end(key)
        return value

    def oldest(self) -> tuple[Key, Value] | None:
        """What was put here first; None: nothing is."""
        for key, (value, _) in self._entries.items():
            return key, value
        return None

    def put(self, key: Key, value: Value, owner: str, most: int) -> None:
        """Put a value here, in the place of another one with its key.

        @param most: maximum values of all owners together.
        """
        self.pop(key)
        self._entries[key] = value, owner
        self._of_owner.setdefault(owner, OrderedDict())[key] = None
        self._counts.add(owner)
        while self._counts.total > most:
            self.pop(next(iter(self._of_owner[self._counts.most()])))

    def pop(self, key: Key) -> None:
        """Forget a key; nothing happens for one that is not known."""
        found = self._entries.pop(key, None)
        if found is not None:
            owner = found[1]
            own = self._of_owner[owner]
            del own[key]
            if not own:
                del self._of_owner[owner]
            self._counts.remove(owner)
