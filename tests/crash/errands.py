"""Mail and calls of the storm of C{tests.crash.narrow}: whatever contradicts what is known of them is a violation."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Any, Final

from tests.crash.letters import RANKS
from tests.crash.parties import Books, Party
from tests.crash.wire import Answer, Violation

LETTERS, CALLS = 12, 8
"""How many letters and calls of a party are under way, at most."""
SAID: Final = ("received", "done")
"""What a recipient says to each letter."""
ENDS: Final = {"unavailable", "rate_limited", "timeout", "agent_failed", "cancelled", "not_found"}
"""Codes by which a call may end in a storm."""


class Mail:
    """All letters of a storm.

    @ivar sent: the id of each letter that was taken, by its number.
    @ivar arrived: how often each came, and C{done}: whose end was acknowledged.
    @ivar told: what senders were told, by message id.
    """

    def __init__(self) -> None:
        self.written = 0
        self.sent: dict[int, str] = {}
        self.arrived: Counter[int] = Counter()
        self.done: set[int] = set()
        self.told: dict[str, list[str]] = defaultdict(list)

    def settled(self) -> bool:
        """Whether all that was written was taken, has come, and is over."""
        return len(self.sent) == len(self.done) == self.written

    def check(self, message_id: str, report: dict[str, Any]) -> bool:
        """Compare what C{agent.getDelivery} says of a letter that is over with what its sender was told.

        @return: whether its sender has been told every step.
        """
        ladder = [receipt["status"] for receipt in report["receipts"]]
        ranks = [RANKS[status] for status in ladder]
        if ranks != sorted(set(ranks)) or ladder[-1] != "done":
            raise Violation(f"{message_id} has the ladder {ladder}")
        told = list(dict.fromkeys(self.told[message_id]))
        if not set(told) <= set(ladder):
            raise Violation(f"{message_id} has the ladder {ladder}, and its sender was told {told}")
        return told == ladder


class Writer(Party):
    """Sends letters with receipts, and repeats what was not answered, under its key.

    @ivar unanswered: recipient and text of letters that were not answered; C{taken}: the ids of all others.
    """

    def __init__(self, name: str, books: Books, slow: bool, mail: Mail, recipients: list[str]) -> None:
        super().__init__(name, books, slow)
        self._mail = mail
        self._recipients = recipients
        self.unanswered: dict[int, tuple[str, str]] = {}
        self.taken: list[str] = []

    def write(self) -> None:
        """One more letter, unless many are under way."""
        if len(self.unanswered) < LETTERS:
            self._mail.written += 1
            text = "l" * self.books.chance.choice([20, 2_000, 20_000])
            self.unanswered[self._mail.written] = (self.books.chance.choice(self._recipients), text)
            self._send(self._mail.written)

    def begin(self) -> None:
        """See L{Party}."""
        super().begin()
        for number in self.unanswered:
            self._send(number)

    def heard(self, method: str, params: Any) -> None:
        """See L{Party}."""
        if method == "agent.receipt":
            self._mail.told[params["message_id"]].append(params["status"])

    def _send(self, number: int) -> None:
        recipient, text = self.unanswered[number]
        content = {"number": number, "text": text}

        def taken(result: dict[str, Any]) -> None:
            if self.unanswered.pop(number, None):
                self.taken.append(result["message_id"])
            if self._mail.sent.setdefault(number, result["message_id"]) != result["message_id"]:
                raise Violation(f"letter {number} was taken twice: {self._mail.sent[number]}, {result}")

        key = f"letter-{number}"
        self.ask("agent.send", taken, agent_id=recipient, message=content, receipts=True, idempotency_key=key)


class Recipient(Party):
    """Acknowledges all that comes, again if it does not know that it was heard."""

    capabilities = ("ack",)

    def __init__(self, name: str, books: Books, slow: bool, mail: Mail) -> None:
        super().__init__(name, books, slow)
        self._mail = mail
        self._unheard: dict[int, str] = {}
        self._saying: set[int] = set()

    def begin(self) -> None:
        """See L{Party}."""
        super().begin()
        self._saying.clear()
        for number in self._unheard:
            self._say(number)

    def heard(self, method: str, params: Any) -> None:
        """See L{Party}."""
        if method != "agent.message":
            return
        number, message_id = params["message"]["number"], params["message_id"]
        if number in self._mail.done:
            raise Violation(f"letter {number} came again, after done was acknowledged")
        if self._mail.sent.get(number, message_id) != message_id:
            raise Violation(f"letter {number} was taken as {self._mail.sent[number]}, and came as {message_id}")
        self._mail.arrived[number] += 1
        self._unheard[number] = message_id
        if self.line is not None:
            self._say(number)

    def _say(self, number: int) -> None:
        def heard(result: dict[str, Any]) -> None:
            if result["status"] == SAID[-1]:
                self._mail.done.add(number)
                self._unheard.pop(number, None)

        if number not in self._saying:
            self._saying.add(number)
            for status in SAID:
                self.ask("agent.ack", heard, message_id=self._unheard[number], status=status)


class Calls:
    """All calls of a storm.

    @ivar open: those that have not ended, by number; C{ended}: how the others did.
    @ivar begun: the calls that came to a worker.
    """

    def __init__(self) -> None:
        self.made = 0
        self.open: set[int] = set()
        self.ended: Counter[str] = Counter()
        self.begun: set[int] = set()


class Caller(Party):
    """Makes calls, and cancels some."""

    def __init__(self, name: str, books: Books, slow: bool, calls: Calls) -> None:
        super().__init__(name, books, slow)
        self._calls = calls
        self._mine = 0

    def ring(self) -> None:
        """One more call, unless many are open."""
        line = self.line
        if line is None or self._mine >= CALLS:
            return
        self._calls.made += 1
        number = self._calls.made
        self._calls.open.add(number)
        self._mine += 1
        message = {"call": number, "text": "c" * self.books.chance.choice([10, 5_000])}

        def arrived(answer: Answer | None) -> None:
            self._mine -= 1
            if number not in self._calls.open:
                raise Violation(f"call {number} ended twice, the second time by {answer}")
            self._calls.open.discard(number)
            if answer is None:
                self._calls.ended["with its connection"] += 1
            elif "error" in answer:
                if (code := answer["error"]["data"]["code"]) not in ENDS:
                    raise Violation(f"call {number} ended by {answer['error']}")
                self._calls.ended[code] += 1
            elif answer["result"]["call"] != number:
                raise Violation(f"call {number} has the answer {answer['result']!r:.200}")
            else:
                self._calls.ended["answered"] += 1

        timeout = self.books.chance.choice([300, 5_000])
        request = line.send(arrived, "agent.call", capability="work", message=message, timeout_ms=timeout)
        if request is not None and self.books.chance.random() < 0.1:
            line.send(lambda answer: None, "agent.cancel", request_id=request)


class Worker(Party):
    """Answers calls after a while, and tells of its progress."""

    capabilities = ("work",)

    def __init__(self, name: str, books: Books, slow: bool, calls: Calls) -> None:
        super().__init__(name, books, slow)
        self._calls = calls

    def heard(self, method: str, params: Any) -> None:
        """See L{Party}."""
        if method == "agent.cancelled":
            self.books.counts["workers told to stop"] += 1
        if method != "agent.invoke":
            return
        number = params["message"]["call"]
        if number in self._calls.begun:
            raise Violation(f"call {number} was begun twice")
        self._calls.begun.add(number)
        line = self.line
        if line is None:
            return
        answer = {"call": number, "text": "a" * self.books.chance.choice([10, 20_000])}
        line.send(lambda said: None, "agent.progress", call_id=params["call_id"], data={"text": "p" * 5_000})
        later = self.books.chance.uniform(0, 0.6)
        asyncio.get_running_loop().call_later(later, line.answer, params["call_id"], answer)
