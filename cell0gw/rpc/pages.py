"""Lists in pages: as much as fits an answer, and where to go on.

All lists that grow with the gateway have the params C{limit} and C{after}, and their answers C{next}: what to give as
C{after} for the next page. It is absent when nothing more is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Raw

PageLimit = Annotated[int, Meta(ge=1, le=2**53 - 1)]
"""Maximum entries of a page; what does not fit the answer is on the next one in any case."""

Cursor = Annotated[str, Meta(max_length=300)]
"""Where a page begins: after what this names."""

_Entry = TypeVar("_Entry")


def page(
    entries: Iterable[_Entry],
    limit: int | None,
    room: int,
    encode: Callable[[_Entry], bytes] = msgspec.json.encode,
) -> tuple[list[Raw], _Entry | None]:
    """The first of some entries.

    @param entries: in their order; no more of them are asked for than fit, and one.
    @param limit: maximum entries; None: as many as fit.
    @param room: maximum bytes of them all; one is taken however long it is.
    @param encode: what makes JSON of an entry.
    @return: those taken, as JSON; and the last of them if there are more.
    """
    taken: list[Raw] = []
    last = None
    for entry in entries:
        encoded = encode(entry)
        room -= len(encoded) + 1
        if taken and (room < 0 or len(taken) == limit):
            return taken, last
        taken.append(Raw(encoded))
        last = entry
    return taken, None
