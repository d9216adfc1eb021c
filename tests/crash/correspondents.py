"""Who sends, receives, calls and is called while the gateway lives."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from tests.crash.letters import PLANS, Letter, Letters
from tests.crash.wire import Answer, Connection, Violation

KEYED, RECEIPTS, AGAIN = 0.8, 0.6, 0.05
"""How many letters have a key, how many senders want receipts, and how many sendings repeat one that was answered."""
SIZES: Final = [(20, 200)] * 19 + [(2_000, 20_000)]


class Sender:
    """Keeps letters on their way; what has a key and was not answered is sent again first, in its order.

    @param happened: called after each answer.
    """

    def __init__(self, name: str, letters: Letters, chance: random.Random, happened: Callable[[str], None]) -> None:
        self.name = name
        self._letters = letters
        self._chance = chance
        self._happened = happened
        self._answered: Letter | None = None
        self.connection: Connection | None = None

    def heard(self, method: str, params: Any) -> None:
        """A notification came."""
        if method == "agent.receipt":
            self._letters.receipt(self.name, params)

    def repeat(self) -> None:
        """Send again what was not answered."""
        for letter in sorted(self._letters.waiting[self.name].values(), key=lambda letter: letter.number):
            letter.interrupted = True
            self._send(letter)

    def send(self, recipients: list[str], count: int) -> None:
        """Send so many letters at once, and do not wait."""
        chance = self._chance
        for _ in range(count):
            if self._answered is not None and chance.random() < AGAIN:
                self._send(self._answered)
            size = chance.randint(*chance.choice(SIZES))
            keyed, receipts, plan = chance.random() < KEYED, chance.random() < RECEIPTS, chance.choice(PLANS)
            self._send(self._letters.new(self.name, chance.choice(recipients), size, keyed, receipts, plan))

    def _send(self, letter: Letter) -> None:
        letter.attempts += 1
        was_answered = letter.answered
        key = {}
        if letter.key is not None:
            key = {"idempotency_key": letter.key}
            if not letter.answered:
                self._letters.waiting[self.name][letter.number] = letter

        def arrived(response: Answer | None) -> None:
            if response is not None:
                self._letters.answer(letter, response, was_answered)
                if letter.key is not None:
                    self._answered = letter
                self._happened("sending")

        assert self.connection is not None
        self.connection.send(
            arrived, "agent.send", agent_id=letter.recipient, message=letter.content, receipts=letter.receipts, **key
        )


class Recipient:
    """Acknowledges what comes, each letter by its plan, without waiting for the answers.

    @ivar asked: how many acknowledgements are on their way.
    """

    def __init__(self, name: str, letters: Letters, happened: Callable[[str], None]) -> None:
        self.name = name
        self._letters = letters
        self._happened = happened
        self._on_connection: dict[str, int] = {}
        self._saying: set[int] = set()
        self.connection: Connection | None = None
        self.asked = 0

    def begin(self, connection: Connection) -> None:
        """Take up a new connection; C{heard} may have been called before."""
        self.connection = connection
        for letter in self._letters.unheard(self.name):
            self._say(letter)

    def reset(self) -> None:
        """Forget the old connection."""
        self.connection = None
        self._on_connection.clear()
        self._saying.clear()
        self.asked = 0

    def heard(self, method: str, params: Any) -> None:
        """A notification came."""
        if method == "agent.message":
            letter = self._letters.arrival(self.name, params, self._on_connection)
            self._happened("draining")
            if self.connection is not None:
                self._say(letter)

    def _say(self, letter: Letter) -> None:
        """Say all of the plan that is not known to have been heard."""
        if letter.number in self._saying:
            return
        self._saying.add(letter.number)
        for step in range(letter.said, len(letter.plan)):
            self._acknowledge(letter, step)

    def _acknowledge(self, letter: Letter, step: int) -> None:
        def arrived(response: Answer | None) -> None:
            if response is not None:
                self.asked -= 1
                self._letters.acknowledged(letter, step, response)
                self._happened("acknowledging")

        self.asked += 1
        assert self.connection is not None
        self.connection.send(arrived, "agent.ack", message_id=letter.message_id, status=letter.plan[step])


class Worker:
    """Answers calls, but for those that it is to keep; what it has kept it answers when it is back: too late.

    @ivar late: how many answers it has sent too late, to the newest process.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[str, Any]] = []
        self.connection: Connection | None = None
        self.late = 0

    def begin(self, connection: Connection) -> None:
        """Take up a new connection."""
        self.connection = connection
        kept, self._kept = self._kept, []
        self.late = len(kept)
        for call_id, message in kept:
            connection.answer(call_id, message)

    def heard(self, method: str, params: Any) -> None:
        """A call came, or something else."""
        if method == "agent.invoke":
            if params["message"]["keep"]:
                self._kept.append((params["call_id"], params["message"]))
            else:
                assert self.connection is not None
                self.connection.answer(params["call_id"], params["message"])


class Calling:
    """Makes calls for the worker.

    @ivar answered: how many were; C{told}: how many callers learnt that they have no answer by the end of their
        connection; C{made}: how many there are.
    @ivar ending: whether the gateway stops in order: an error tells them then.
    """

    def __init__(self) -> None:
        self.ending = False
        self.made = self.answered = self.told = 0

    def call(self, connection: Connection, keep: bool, then: Callable[[], None] = lambda: None) -> None:
        """Make a call; the answer must be its own."""
        self.made += 1
        message = {"call": self.made, "keep": keep}

        def arrived(response: Answer | None) -> None:
            if response is None or (self.ending and "error" in response):
                self.told += 1
            elif response.get("result") != message:
                raise Violation(f"the call {message} was answered {response}")
            else:
                self.answered += 1
                then()

        connection.send(arrived, "agent.call", capability="work", message=message, timeout_ms=3_600_000)
