"""The attacks, by what they are after, a file each: time, memory, pools; and those by a crowd."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tests.stress.abuse.hostile import Hostile

Act = Callable[[Hostile], Awaitable[None]]


class Attack(NamedTuple):
    """One kind of hostile client.

    @ivar after: what it is after.
    @ivar act: what it does until it is cancelled.
    @ivar by: who they are, a C{stranger} or an C{agent}.
    @ivar counts: by how many of them it is made.
    @ivar fills: whether a crowd of them fills what all share: then others have their share of it, and no more.
    """

    name: str
    after: str
    act: Act
    by: str
    counts: tuple[int, ...]
    fills: bool

    @property
    def about(self) -> str:
        """What it does."""
        return " ".join((self.act.__doc__ or "").split())


ATTACKS: Final[dict[str, Attack]] = {}


def attack(
    after: str, by: str = "agent", counts: tuple[int, ...] = (1, 50), fills: bool = False
) -> Callable[[Act], Act]:
    """Makes an attack of a function, see L{Attack}."""

    def register(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        ATTACKS[name] = Attack(name, after, act, by, counts, fills)
        return act

    return register
