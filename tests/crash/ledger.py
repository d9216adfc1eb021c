"""What was published and what is known of it: every contradiction is a violation."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

from tests.crash.wire import Answer, Violation


class Message:
    """One message; its number is in it, so there is no other like it.

    @ivar key: its idempotency key, if it has one.
    @ivar offset: where it is, as far as anybody has said.
    @ivar acknowledged: whether a publish of it was answered.
    @ivar attempts: how often it was sent.
    @ivar interrupted: whether the process was killed before it answered.
    @ivar first_answers: how many answers said that it had not been there before.
    """

    __slots__ = (
        "acknowledged",
        "attempts",
        "channel",
        "first_answers",
        "interrupted",
        "key",
        "number",
        "offset",
        "size",
    )

    def __init__(self, number: int, channel: str, size: int, key: str | None) -> None:
        self.number = number
        self.channel = channel
        self.size = size
        self.key = key
        self.offset: int | None = None
        self.acknowledged = False
        self.attempts = 0
        self.interrupted = False
        self.first_answers = 0

    @property
    def content(self) -> dict[str, Any]:
        """What is published."""
        return {"number": self.number, "text": chr(97 + self.number % 26) * self.size}

    def __str__(self) -> str:
        return f"message {self.number} (key {self.key}, {self.attempts} attempts)"


class Ledger:
    """All messages of a run.

    @ivar epochs: of each channel in which something was published.
    @ivar verified: up to which offset each channel was read, without a hole, when nothing was being published.
    @ivar unanswered: what has a key and no answer.
    @ivar answered: what has a key and was answered a short while ago.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.epochs: dict[str, str] = {}
        self.verified: dict[str, int] = defaultdict(int)
        self.unanswered: deque[Message] = deque()
        self.answered: deque[Message] = deque(maxlen=500)
        self.acknowledgements = 0
        self.replays = 0
        self._settled = {True: 0, False: 0}
        self._resume_quota: dict[tuple[str, int], Message] = {}
        self._highest: dict[str, int] = defaultdict(int)

    def new(self, channel: str, size: int, keyed: bool) -> Message:
        """One more message that will be sent."""
        number = len(self.messages)
        message = Message(number, channel, size, f"key-{number}" if keyed else None)
        self.messages.append(message)
        return message

    def answer(self, message: Message, response: Answer, sent_knowing: int | None, sent_answered: bool) -> bool:
        """The response to a publish.

        @param sent_knowing: the message's offset as it was known when it was sent, this time.
        @param sent_answered: whether it had been answered by then.
        @return: whether it was replayed.
        """
        if "result" not in response:
            raise Violation(f"{message}: {response['error']}")
        result = response["result"]
        replayed = result.get("replayed", False)
        self.place(message, result["offset"], result["epoch"], "its answer")
        if not replayed:
            message.first_answers += 1
        if message.first_answers > 1:
            raise Violation(f"{message}: two answers say that it had not been there before")
        if (sent_answered or sent_knowing is not None) and not replayed:
            raise Violation(f"{message} was there already, at {sent_knowing}, and its answer does not say so: {result}")
        if replayed and (message.key is None or message.attempts == 1):
            raise Violation(f"{message}: it was never there before, and its answer says so: {result}")
        if message.interrupted and not message.acknowledged:
            self._settled[replayed] += 1
        message.acknowledged = True
        self.acknowledgements += 1
        self.replays += replayed
        return replayed

    def seen(self, channel: str, entry: dict[str, Any], epoch: str, where: str) -> None:
        """A message was found in a channel.

        @param entry: has C{offset} and C{message}.
        """
        found = entry["message"]
        number = found.get("number") if isinstance(found, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(self.messages):
            raise Violation(f"{where}: {found!r:.200} at {entry['offset']} of {channel} was never sent")
        message = self.messages[number]
        if message.channel != channel or message.content != found:
            raise Violation(f"{where}: {found!r:.200} at {entry['offset']} of {channel} is not what was sent")
        self.place(message, entry["offset"], epoch, where)

    def place(self, message: Message, offset: int, epoch: str, where: str) -> None:
        """Someone says where a message is; all must say the same."""
        channel = message.channel
        if self.epochs.setdefault(channel, epoch) != epoch:
            raise Violation(f"{where}: the epoch of {channel} was {self.epochs[channel]} and is {epoch}")
        if message.offset not in (None, offset):
            raise Violation(f"{where}: {message} is at {offset} of {channel}, and was at {message.offset}")
        other = self._resume_quota.setdefault((channel, offset), message)
        if other is not message:
            raise Violation(f"{where}: {message} is at {offset} of {channel}, where {other} was")
        message.offset = offset
        self._highest[channel] = max(self._highest[channel], offset)

    def page(self, channel: str, page: dict[str, Any], after: int) -> int:
        """A page of C{channel.history} that follows an offset.

        @return: the offset of its last message.
        """
        if page["oldest"] != 1:
            raise Violation(f"{channel} begins at {page['oldest']}: it was trimmed")
        if page["newest"] < self._highest[channel]:
            raise Violation(f"{channel} ends at {page['newest']}, and there was a message at {self._highest[channel]}")
        for entry in page["messages"]:
            after += 1
            if entry["offset"] != after:
                raise Violation(f"{channel} goes on with {entry['offset']} instead of {after}")
            self.seen(channel, entry, page["epoch"], "history")
        return after

    def missing(self, channel: str) -> None:
        """The gateway knows no such channel."""
        if self._highest[channel]:
            raise Violation(f"{channel} is gone; there was a message at {self._highest[channel]}")

    def settle(self) -> dict[str, int]:
        """All channels were read from their beginning: what had to be there?

        @return: what became of the messages, counted.
        """
        for message in self.messages:
            there = message.offset is not None and message.offset <= self.verified[message.channel]
            if not there and (message.acknowledged or message.offset is not None):
                raise Violation(f"{message} was at {message.offset} of {message.channel} and is not there any more")
            if not there and message.key is not None:
                raise Violation(f"{message} has a key, was sent until it was answered, and is not there")
        unanswered = [message for message in self.messages if not message.acknowledged]
        return {
            "messages": len(self.messages),
            "acknowledged": sum(message.acknowledged for message in self.messages),
            "without answer, stored": sum(message.offset is not None for message in unanswered),
            "without answer, not stored": sum(message.offset is None for message in unanswered),
            "with a key, without answer, and sent again: stored before": self._settled[True],
            "not stored before": self._settled[False],
            "all answers that were replayed": self.replays,
        }
