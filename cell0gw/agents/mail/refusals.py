"""Letters that end the connection of each client that they are sent to: what their attempts come to is counted.

One that is longer than its client takes ends connections in a way of its own. Of all others nobody says which letter it
was: it is taken to be one whose work had begun, and if there is none, the first of those that the client had, since
clients take them in order. What came after that waits for nothing but its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from twisted.logger import Logger

from cell0gw.agents.mail.mailbox import Mailbox
from cell0gw.agents.mail.store import Outcome
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import KIB
from cell0gw.sessions.ending import TOO_BIG, Ending, EndingKind
from cell0gw.sessions.session import Session

MAX_REFUSALS: Final = 3
"""Maximum connections that a letter ends; then it is a dead letter."""

SUSPICIOUS: Final = 4 * KIB
"""Bytes from which on a letter may be what a client did not take: no library is known that takes less."""


class Refusals:
    """Counts failed attempts: on disk, but how often a letter was refused for its length for as long as the process
    runs.

    @param max_attempts: how many failed attempts make a dead letter; 0: any number is taken.
    """

    log = Logger()

    def __init__(self, max_attempts: int, wall: Callable[[], float]) -> None:
        self._max_attempts = max_attempts
        self._wall = wall
        self._counts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def lost(self, box: Mailbox, session: Session, ending: Ending, for_good: bool) -> list[Outcome]:
        """Called when the connection of a session is gone, before its mailbox hears of it.

        @param for_good: whether the session is gone as well, and can't be resumed.
        @return: what becomes of the letters by that.
        """
        if ending.refuses_size:
            return self._refused(box, session)
        if not _is_the_clients(ending):
            return []
        leases = box.of(session)
        begun = [message_id for message_id, lease in leases.items() if lease.begun]
        if begun:
            return self.failed(box, begun if for_good else ())
        first = min(leases, key=lambda message_id: leases[message_id].sequence, default=None)
        return self.failed(box, () if first is None else (first,))

    def failed(self, box: Mailbox, message_ids: Iterable[str]) -> list[Outcome]:
        """An attempt of each of these letters has failed."""
        detail = f"{self._max_attempts} attempts failed: each time its recipient was lost or fell silent"
        return [
            self.dead(box, message_id, detail, self._max_attempts) for message_id in message_ids if self._max_attempts
        ]

    def dead(self, box: Mailbox, message_id: str, why: str, after: int = 0) -> Outcome:
        """A letter is undeliverable: now, or once this number of attempts has failed."""
        return Outcome(
            message_id=message_id,
            recipient=box.recipient,
            status="failed",
            time=self._wall(),
            detail=why,
            settles=True,
            after=after,
        )

    def _refused(self, box: Mailbox, session: Session) -> list[Outcome]:
        """A client has refused a letter for its length.

        Which one it was the client does not say. If it was one of those under way, the longest is longer than what the
        client takes; and a short one it was not.
        """
        leases = box.of(session)
        message_id = max(leases, key=lambda message_id: leases[message_id].size, default="")
        size = leases[message_id].size if message_id else 0
        if size < SUSPICIOUS:
            return []
        count = self._counts[message_id] = self._counts.get(message_id, 0) + 1
        if count < MAX_REFUSALS:
            return []
        self.log.warn(
            "{message_id} is a dead letter: {entity_id} ended {count} connections with {code} when it was sent its "
            "{size} bytes, which are more than its client takes",
            event="mail.refused",
            message_id=message_id,
            entity_id=session.entity_id,
            count=count,
            code=TOO_BIG,
            size=size,
        )
        why = f"its client refused it {count} times: {size} bytes are more than it takes ({TOO_BIG})"
        return [self.dead(box, message_id, why)]

    def forget(self, message_id: str) -> None:
        """Called when a letter has left its mailbox."""
        self._counts.pop(message_id, None)


def _is_the_clients(ending: Ending) -> bool:
    """Whether a connection ended by what its client did, or no longer did, and not because the gateway would."""
    if ending.by_client or ending.code == CloseCode.HEARTBEAT_TIMEOUT:
        return True
    return ending.kind in (EndingKind.LOST, EndingKind.ABORTED, EndingKind.RESUMED)
