"""The status of a directed message: queued, sent, received, started, and then done, failed or expired.

It only goes up, and may leave out steps: who says done has received. What is over is not begun again.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

DeliveryStatus = Literal["queued", "sent", "received", "started", "done", "failed", "expired"]
"""Every step, lowest first; the last three are ends."""

Acknowledgement = Literal["received", "started", "done", "failed"]
"""The steps that are the recipient's to say."""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """The status of the message or the call."""

    success: bool = True
    message_id: str
    status: str


FINAL: Final = frozenset({"done", "failed", "expired"})
"""Final statuses: none follows."""

_RANKS: Final = {"queued": 0, "sent": 1, "received": 2, "started": 3, "done": 4, "failed": 4, "expired": 4}


def advances(current: str, following: str) -> bool:
    """Whether a step leads up from the current one.

    A message that the recipient has can't expire any more.
    """
    if following == "expired":
        return _RANKS[current] < _RANKS["received"]
    return current not in FINAL and _RANKS[following] > _RANKS[current]
