"""The seams: what the floors above provide to those below, and the engines to the rules."""

from __future__ import annotations

from typing import Any

from zope.interface import Attribute, Interface

from cell0gw.frames import Batch
from cell0gw.statistics import Counts


class IConnection(Interface):
    """A socket that speaks the protocol, as the rules see it."""

    connection_id = Attribute("str: names the connection in logs.")
    address = Attribute("str: where it comes from, as L{cell0gw.addresses.source} spells it.")
    session = Attribute("Session or None: its authenticated span.")
    last_received = Attribute("float: when anything, pongs included, last came from it; seconds of the steady clock.")
    opened_at = Attribute("float: when the handshake was done.")
    closing_since = Attribute("float or None: since when the connection is on its way out.")
    backlog = Attribute("int: how many bytes wait for the peer to read.")
    paused = Attribute("bool: whether nothing is read, since too many of its requests wait.")
    unfinished = Attribute("tuple or None: since when a message comes, and how many bytes of it have been announced.")
    bad_tokens = Attribute("int: how many wrong tokens it has sent.")

    def notify(method: str, params: Any) -> None:
        """Send a notification; nothing happens on a connection that is closing."""

    def write_frame(frame: bytes) -> None:
        """Send a frame made by L{cell0gw.frames}, which may be shared with others."""

    def share(batch: Batch) -> bool:
        """Send a batch of frames, to which others may be added as long as it is open.

        @return: False if this connection can't: each frame must be written to it.
        """

    def session_opened(session: Any) -> None:
        """The connection is authenticated: the limits for strangers are lifted."""

    def close(code: int, reason: str) -> None:
        """Close it, with a close code of L{cell0gw.errors.CloseCode}."""

    def close_when_answered(code: int, reason: str) -> None:
        """Close it once the message that is being handled has its answer."""

    def resume() -> None:
        """Few of its requests wait still: read on, if that was paused."""

    def fall_behind() -> None:
        """Too much waits for the peer to read: it is a slow consumer, and is closed."""

    def abort() -> None:
        """Let go of the socket at once, whatever was still to be written."""

    def register_producer(producer: Any) -> None:
        """Let an L{IPushProducer} know when there is room for more, and when there is none."""

    def unregister_producer() -> None:
        """It has no more."""


class ICaller(Interface):
    """Who calls a method."""

    principal = Attribute("Principal or None: what the token says of the caller; None before authentication.")
    session = Attribute("Session or None: the session of the call.")
    connection = Attribute("IConnection or None: the connection the call came by.")


class ISessionObserver(Interface):
    """Hears of sessions that open and close.

    A session whose connection broke is waited for: it is detached first, and closed when nobody has resumed it.
    """

    def session_opened(session: Any) -> None:
        """A connection was authenticated."""

    def session_detached(session: Any, reason: str) -> None:
        """The session's connection is gone; another one may take up what it had."""

    def session_closed(session: Any, reason: str) -> None:
        """The session is over; its connection may be gone already."""


class ITokenStore(Interface):
    """Where token records outlive the process."""

    def load() -> list[Any]:
        """Every L{cell0gw.tokens.TokenRecord} kept."""

    def add(record: Any) -> Any:
        """Keep a record.

        @return: a Deferred that fires when it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def revoke(token_ids: list[str]) -> Any:
        """Mark records as revoked.

        @return: a Deferred that fires when that is safe.
        """

    def remove(token_ids: list[str]) -> Any:
        """Forget records.

        @return: a Deferred that fires when that is done.
        """


class IMessageStore(Interface):
    """Where the messages of durable channels are numbered, and outlive the process."""

    def load() -> list[Any]:
        """Every L{cell0gw.engines.StoredChannel}; called once, before anything else."""

    def append(draft: Any) -> Any:
        """Number a L{cell0gw.engines.Draft} and keep it, in the order of the calls.

        @return: a Deferred of the L{cell0gw.engines.Stored}, fired in that order, once it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept: then it has no number either.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def read(channel: str, after: int, limit: int) -> Any:
        """The messages that follow an offset, in order; fewer than C{limit} if they are long.

        @return: a Deferred of L{cell0gw.engines.StoredMessage}s.
        """

    def read_before(channel: str, before: int, limit: int) -> Any:
        """The messages before an offset, newest first; otherwise as C{read}."""

    def purge(too_old: dict[str, float], keys_before: float) -> Any:
        """Forget what is older than a moment, by channel, all but the newest of each; and keys; and what is too much.

        @return: a Deferred of the offsets of the oldest messages that are kept, for channels where they changed.
        """

    def drop(channel: str, newest: int) -> Any:
        """Forget a channel, unless it has a newer message.

        @return: a Deferred of whether it is gone.
        """


class IMailStore(Interface):
    """Where directed messages wait, and what became of them is written down.

    Every Deferred fires in the order of the calls, once it is safe; with L{Unavailable} when it can't be done.
    """

    def load() -> Any:
        """The L{cell0gw.engines.letters.StoredMail}; called once, before anything else."""

    def put(letter: Any, keys_since: float) -> Any:
        """Keep a L{cell0gw.engines.letters.Letter}, as queued.

        @param keys_since: a key from before this moment stands for nothing any more.
        @return: a Deferred of the L{cell0gw.engines.letters.Kept}.
        @raise Conflict: by the Deferred, when its key stands for something else.
        """

    def find(letter: Any, keys_since: float) -> Any:
        """Look for a letter that was kept under the key of this one, without keeping this one.

        @return: a Deferred of its L{cell0gw.engines.letters.Kept}, or of None.
        @raise Conflict: by the Deferred, when the key stands for something else.
        """

    def waiting(recipient: str, after: int, limit: int, now: float) -> Any:
        """The letters that wait for a recipient and follow a sequence, in order; fewer than C{limit} if they are long.

        @return: a Deferred of the letters; none only if none waits.
        """

    def letters(message_ids: list[str]) -> Any:
        """Those of these letters that wait still, in order.

        @return: a Deferred of the letters.
        """

    def record(steps: list[Any]) -> Any:
        """Take down L{cell0gw.engines.letters.Step}s, as far as they lead up.

        @return: a Deferred of a L{cell0gw.engines.letters.Climbed} for each.
        """

    def expire(now: float) -> Any:
        """Take out of their mailboxes what has waited too long.

        @return: a Deferred of a L{cell0gw.engines.letters.Climbed} for each, and of when the next one expires or None.
        """

    def shift(seconds: float) -> Any:
        """What waits expires so much later: the wall clock was set.

        @return: a Deferred that fires when that is done.
        """

    def delivery(message_id: str) -> Any:
        """
        @return: a Deferred of the L{cell0gw.engines.letters.Delivery}, or None.
        """

    def take_untold(sender: str, limit: int, now: float) -> Any:
        """The oldest receipts that a sender has not been told of; they count as told now, as in C{told}.

        @return: a Deferred of L{cell0gw.engines.letters.Receipt}s.
        """

    def told(receipts: list[int], now: float) -> Any:
        """Senders have been told of these receipts, by their numbers, at this moment or before.

        @param now: seconds of a clock that never goes back.

        @return: a Deferred that fires when that is written down.
        """

    def untell(sender: str, since: float) -> Any:
        """What a sender was told since a moment may not have arrived: it counts as not told.

        @return: a Deferred that fires when that is done.
        """

    def dead(recipient: Any, limit: int) -> Any:
        """The letters that came to nothing, newest first.

        @param recipient: only theirs; None: all.
        @return: a Deferred of L{cell0gw.engines.letters.DeadLetter}s, and of how many there are in all.
        """

    def purge(settled_before: float, dead_before: float, keep: int, holders_before: float, max_holders: int) -> Any:
        """Forget letters that are over, those that came to nothing later, and who was here last before a moment.

        @param keep: how many letters that are over may be kept at most; and so for C{max_holders}.
        @return: a Deferred that fires when that is done.
        """

    def saw(entity_id: str, time: float) -> Any:
        """Note that an entity has had a session.

        @return: a Deferred that fires when that is done.
        """


class IStatistics(Interface):
    """Has figures to show in C{gateway.getStats}."""

    name = Attribute("str: under which they are shown.")

    def statistics() -> Counts:
        """The L{Counts} of now."""
