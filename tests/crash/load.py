"""Who publishes and who reads while the gateway lives."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.crash.ledger import Ledger, Message
from tests.crash.wire import Answer, Connection, Violation

KEYED = 0.4
"""How many messages have a key; of those and of these"""
AGAIN = 0.05
"""so many calls repeat one that was answered, and"""
TWICE = 0.05
"""so many are made on two connections at once."""
SIZES = [(20, 200)] * 18 + [(2_000, 20_000)] * 2


class Publisher:
    """Keeps calls in flight on one connection.

    @param answered: called after each answer.
    """

    def __init__(
        self,
        connection: Connection,
        ledger: Ledger,
        channels: list[str],
        chance: random.Random,
        answered: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._ledger = ledger
        self._channels = channels
        self._chance = chance
        self._answered = answered
        self._offsets: dict[str, int] = defaultdict(int)
        self.others: list[Publisher] = []

    def begin(self, in_flight: int) -> None:
        """Make the first calls; each answer makes the next."""
        for _ in range(in_flight):
            self._next()

    def publish(self, message: Message, then: Callable[[], None]) -> None:
        """Publish a message, for the first time or again.

        @param then: called when it is answered.
        """
        message.attempts += 1
        knowing, was_answered = message.offset, message.acknowledged

        def arrived(response: Answer | None) -> None:
            if response is not None:
                replayed = self._ledger.answer(message, response, knowing, was_answered)
                self._check_order(message, replayed)
                if message.key is not None:
                    self._ledger.answered.append(message)
                self._answered()
                then()
            elif message.key is not None and not message.acknowledged:
                message.interrupted = True
                self._ledger.unanswered.append(message)

        key = {} if message.key is None else {"idempotency_key": message.key}
        self._connection.send(arrived, "channel.publish", channel=message.channel, message=message.content, **key)

    def _next(self) -> None:
        ledger, chance = self._ledger, self._chance
        if ledger.unanswered:
            message = ledger.unanswered.popleft()
            if message.acknowledged:  # by its other call
                self._next()
                return
        elif ledger.answered and chance.random() < AGAIN:
            message = chance.choice(ledger.answered)
        else:
            size = chance.randint(*chance.choice(SIZES))
            message = ledger.new(chance.choice(self._channels), size, chance.random() < KEYED)
            if message.key is not None and self.others and chance.random() < TWICE:
                chance.choice(self.others).publish(message, lambda: None)
        self.publish(message, self._next)

    def _check_order(self, message: Message, replayed: bool) -> None:
        """What is sent over one connection is numbered in that order."""
        if not replayed:
            assert message.offset is not None
            if message.offset <= self._offsets[message.channel]:
                raise Violation(f"{message} is at {message.offset}, behind what was sent after it")
            self._offsets[message.channel] = message.offset


class Reader:
    """A subscriber of every channel that goes on, after each kill, where it was."""

    def __init__(self, ledger: Ledger, channels: list[str]) -> None:
        self._ledger = ledger
        self._channels = channels
        self.offsets: dict[str, int] = defaultdict(int)
        self.received = 0

    def begin(self, connection: Connection) -> None:
        """Subscribe; C{heard} must get the connection's notifications."""
        for channel in self._channels:
            since = {}
            if channel in self._ledger.epochs:
                since = {"since": {"offset": self.offsets[channel], "epoch": self._ledger.epochs[channel]}}
            connection.send(self._subscribed, "channel.subscribe", channel=channel, **since)

    def heard(self, method: str, params: Any) -> None:
        """A notification came."""
        if method != "channel.message":
            return
        channel, offset = params["channel"], params["offset"]
        if offset != self.offsets[channel] + 1:
            raise Violation(f"a subscriber of {channel} got {offset} after {self.offsets[channel]}")
        self.offsets[channel] = offset
        self.received += 1
        self._ledger.seen(channel, params, params["epoch"], "a subscriber")

    def _subscribed(self, response: Answer | None) -> None:
        if response is not None and response.get("result", {}).get("recovered", True) is not True:
            raise Violation(f"a subscriber could not go on: {response}")
        if response is not None and "result" not in response:
            raise Violation(f"a subscriber was refused: {response}")
