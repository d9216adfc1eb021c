"""The status of a directed message: queued, sent, received, started, and then done, failed or expired; or recalled.

It only goes up, and may leave out steps: who says done has received. What is over is not begun again.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from cell0gw.agents.mail.store import KeptLetter, Transition
from cell0gw.protocol.errors import NotFound, RateLimited

DeliveryStatus = Literal["queued", "sent", "received", "started", "done", "failed", "expired", "recalled"]
"""Every step, lowest first; the last four are ends."""

Acknowledgement = Literal["received", "started", "working", "done", "failed"]
"""The steps that are the recipient's to say; C{working} is C{started}, once more."""

BEGUN: Final = frozenset({"started", "working"})
"""What says that the recipient is at it."""


class Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    """The status of the message or the call.

    - `success`: true
    - `message_id`: the message or the call
    - `status`: where it stands now, `started` if it is worked on; `expired` or `failed` if the message was given up
      before
    """

    success: bool = True
    message_id: str
    status: str


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """The message is brought again later.

    - `success`: true
    - `message_id`: the message
    """

    success: bool = True
    message_id: str


FINAL: Final = frozenset({"done", "failed", "expired", "recalled"})
"""Final statuses: none follows."""

_RANKS: Final = {
    "queued": 0,
    "sent": 1,
    "received": 2,
    "started": 3,
    "done": 4,
    "failed": 4,
    "expired": 4,
    "recalled": 4,
}


def advances(current: str, following: str) -> bool:
    """Whether a step leads up from the current one.

    A message that the recipient has can't expire any more, unless its work was begun and is not done. Only what was not
    sent can be recalled.
    """
    if following == "recalled":
        return current == "queued"
    if following == "expired":
        return _RANKS[current] < _RANKS["received"] or current == "started"
    return current not in FINAL and _RANKS[following] > _RANKS[current]


def acknowledged(transitions: list[Transition]) -> Acknowledged:
    """Where a message stands, as the answer to an acknowledgement.

    @raise NotFound: there is none.
    """
    (transition,) = transitions
    if transition.status is None:
        raise NotFound("There is no such message to you, or it is long over")
    return Acknowledged(message_id=transition.outcome.message_id, status=transition.status)


def again(kept: KeptLetter | None, refusal: RateLimited | None = None) -> KeptLetter:
    """What was kept before, as an answer; where nothing was, the refusal of what is to be kept."""
    if kept is None:
        raise refusal or NotFound()
    return msgspec.structs.replace(kept, status="queued" if kept.status == "queued" else "sent")
