"""On which terms a session gets mail."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from cell0gw.protocol.limits import MAX_LEASE_MS, MIN_LEASE_MS

MAX_WINDOW: Final = 256
"""Maximum messages that a session has and has not acknowledged."""

ACK_WAIT_MS: Final = 30_000
"""Milliseconds after which a message is brought again, unless the session says otherwise."""

Window = Annotated[int, Meta(ge=1, le=MAX_WINDOW)]
AckWait = Annotated[int, Meta(ge=MIN_LEASE_MS, le=MAX_LEASE_MS)]


class MailTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """On which terms a session that acknowledges gets its mail.

    - `window`: how many messages it has at most that it has not acknowledged
    - `ack_wait_ms`: after how many milliseconds a message is brought again of which nothing was heard, or nothing more
    - `pull`: whether the session acknowledges, and asks for its messages by `agent.receive`: it gets none by itself
    """

    window: Window = MAX_WINDOW
    ack_wait_ms: AckWait = ACK_WAIT_MS
    pull: bool = False

    @property
    def ack_wait(self) -> float:
        """The same in seconds."""
        return self.ack_wait_ms / 1000


USUAL: Final = MailTerms()
"""Those of a session that says nothing of it."""
