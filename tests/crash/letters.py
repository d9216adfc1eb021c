"""Every message that was sent to an agent, and what is known of it: every contradiction is a violation."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any, Final

from tests.crash.wire import Answer, Violation

RANKS: Final = {"queued": 0, "sent": 1, "received": 2, "started": 3, "done": 4, "failed": 4}
PLANS: Final = (("received", "started", "done"), ("received", "failed"), ("received", "done"), ("done",), ("failed",))
"""What a recipient says to a letter, step by step."""


class Letter:
    """One message; its number is in it, so there is no other like it.

    @ivar key: its idempotency key, if it has one.
    @ivar receipts: whether its sender wants to be told what becomes of it.
    @ivar plan: what its recipient will say to it, when it has come; C{said}: how much of that was answered.
    @ivar message_id: as far as anybody has said.
    @ivar answered: whether a sending of it was answered.
    @ivar interrupted: whether the process was killed before it answered.
    @ivar arrived: whether it has come to its recipient.
    @ivar status: where it stood by the last answer to its recipient.
    """

    __slots__ = (
        "answered", "arrived", "attempts", "first_answers", "interrupted", "key", "message_id", "number", "plan",
        "receipts", "recipient", "said", "sender", "size", "status",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        sender: str,
        recipient: str,
        size: int,
        key: str | None,
        receipts: bool,
        plan: tuple[str, ...],
    ) -> None:
        self.number = number
        self.sender = sender
        self.recipient = recipient
        self.size = size
        self.key = key
        self.receipts = receipts
        self.plan = plan
        self.said = 0
        self.message_id: str | None = None
        self.answered = self.interrupted = self.arrived = False
        self.attempts = self.first_answers = 0
        self.status = "queued"

    @property
    def content(self) -> dict[str, Any]:
        """What is sent."""
        return {"number": self.number, "text": chr(97 + self.number % 26) * self.size}

    @property
    def over(self) -> bool:
        """Whether its recipient has said everything, and knows that it was heard."""
        return self.said == len(self.plan)

    def __str__(self) -> str:
        return f"letter {self.number} ({self.sender} to {self.recipient}, {self.message_id}, key {self.key})"


class Letters:
    """All letters of a run.

    @ivar waiting: those that have a key and no answer, by their sender; C{open}: all that are not over.
    @ivar told: what senders were told of each message id, the first time.
    @ivar counts: what happened, for the summary.
    """

    def __init__(self) -> None:
        self.all: list[Letter] = []
        self.open: dict[int, Letter] = {}
        self.waiting: dict[str, dict[int, Letter]] = defaultdict(dict)
        self.told: dict[str, list[str]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self._by_id: dict[str, Letter] = {}
        self._listeners: dict[str, str] = {}
        self._newest: dict[tuple[str, str], int] = {}

    def new(self, sender: str, recipient: str, size: int, keyed: bool, receipts: bool, plan: tuple[str, ...]) -> Letter:
        """One more that will be sent."""
        number = len(self.all)
        letter = Letter(number, sender, recipient, size, f"key-{number}" if keyed else None, receipts, plan)
        self.all.append(letter)
        self.open[number] = letter
        return letter

    def answer(self, letter: Letter, response: Answer, was_answered: bool) -> None:
        """The response to C{agent.send}.

        @param was_answered: whether it had been answered before it was sent, this time.
        """
        if "result" not in response:
            raise Violation(f"{letter}: {response['error']}")
        result = response["result"]
        replayed = result.get("replayed", False)
        self._identify(letter, result["message_id"], "its answer")
        letter.first_answers += not replayed
        if letter.first_answers > 1 or (was_answered and not replayed):
            raise Violation(f"{letter} was taken before, and is taken once more: {result}")
        if replayed and (letter.key is None or letter.attempts == 1):
            raise Violation(f"{letter} was never there before, and its answer says so: {result}")
        if letter.interrupted and not letter.answered:
            self.counts["sent again, stored before" if replayed else "sent again, not stored before"] += 1
        letter.answered = True
        self.waiting[letter.sender].pop(letter.number, None)
        self.counts["answers to senders"] += 1

    def arrival(self, recipient: str, params: dict[str, Any], connection: dict[str, int]) -> Letter:
        """A letter has come.

        @param connection: the newest that came on this connection, by sender.
        """
        found = params["message"]
        number = found.get("number") if isinstance(found, dict) else None
        if not isinstance(number, int) or not 0 <= number < len(self.all):
            raise Violation(f"{recipient} got {found!r:.200}, which was never sent")
        letter = self.all[number]
        if (letter.recipient, letter.content, letter.sender) != (recipient, found, params["from"]):
            raise Violation(f"{recipient} got {params!r:.300}, and {letter} was sent")
        self._identify(letter, params["message_id"], "its recipient")
        if letter.said:
            raise Violation(f"{letter} came again, after {letter.plan[letter.said - 1]} was acknowledged")
        if number <= connection.get(letter.sender, -1):
            raise Violation(f"{letter} came after letter {connection[letter.sender]} on one connection")
        connection[letter.sender] = number
        if not letter.arrived and number < self._newest.get((letter.sender, recipient), -1):
            newest = self._newest[letter.sender, recipient]
            raise Violation(f"{letter} came for the first time when letter {newest} had come before")
        self._newest[letter.sender, recipient] = max(number, self._newest.get((letter.sender, recipient), -1))
        self.counts["letters brought again" if letter.arrived else "letters brought"] += 1
        letter.arrived = True
        return letter

    def acknowledged(self, letter: Letter, step: int, response: Answer) -> None:
        """The response to C{agent.ack} of a step of the plan."""
        if "result" not in response:
            raise Violation(f"{letter}: {letter.plan[step]}: {response['error']}")
        status = response["result"]["status"]
        if RANKS[status] < max(RANKS[letter.plan[step]], RANKS[letter.status]):
            raise Violation(f"{letter} is {status} after {letter.plan[step]} and {letter.status}")
        letter.status = status
        letter.said = max(letter.said, step + 1)
        if letter.over:
            self.open.pop(letter.number, None)
        self.counts["acknowledgements"] += 1

    def receipt(self, sender: str, params: dict[str, Any]) -> None:
        """A sender is told of a step."""
        message_id, status = params["message_id"], params["status"]
        if self._listeners.setdefault(message_id, sender) != sender:
            raise Violation(f"{sender} is told of {message_id}, which is {self._listeners[message_id]}'s")
        told = self.told[message_id]
        if status in told:
            self.counts["receipts told again"] += 1
            return
        if told and RANKS[status] <= RANKS[told[-1]]:
            raise Violation(f"{message_id}: {sender} is told {status} after {told}")
        told.append(status)
        self.counts["receipts told"] += 1

    def bounds(self, recipients: list[str]) -> tuple[int, int]:
        """How many letters wait, at least and at most, when nobody is connected.

        @param recipients: to whom.
        """
        letters = [letter for letter in self.open.values() if letter.recipient in recipients]
        return sum(letter.answered and not letter.arrived for letter in letters), sum(not each.said for each in letters)

    def unheard(self, recipient: str) -> list[Letter]:
        """Those that have come, and whose recipient does not know that it was heard."""
        return [each for each in self.open.values() if each.recipient == recipient and each.arrived]

    def settle(self) -> None:
        """Everything was sent until it was answered, and brought until nothing was left: is all of it there?"""
        for letter in list(self.open.values()):
            if letter.answered or letter.key is not None or letter.arrived:
                raise Violation(
                    f"{letter} was to come and be acknowledged, and was not: {letter.said} of {letter.plan}"
                )
            del self.open[letter.number]  # it has no key, and was lost with the process before it was answered
            self.counts["without key and answer, not stored"] += 1

    def report(self, letter: Letter, report: dict[str, Any]) -> bool:
        """What C{agent.getDelivery} says of a letter that is over.

        @return: whether its sender was told all of that already.
        """
        ladder = [receipt["status"] for receipt in report["receipts"]]
        ranks = [RANKS[status] for status in ladder]
        if ladder[:1] != ["queued"] or ranks != sorted(set(ranks)) or ladder[-1] != letter.plan[-1]:
            raise Violation(f"{letter} has the ladder {ladder}, and its recipient said {letter.plan}")
        if not set(letter.plan) <= set(ladder) or report["status"] != ladder[-1]:
            raise Violation(f"{letter} is {report['status']} with the ladder {ladder}; said was {letter.plan}")
        told = self.told.get(letter.message_id or "", [])
        if not letter.receipts and told:
            raise Violation(f"{letter}: its sender is told {told}, and did not ask")
        if not set(told) <= set(ladder):
            raise Violation(f"{letter} has the ladder {ladder}, and its sender was told {told}")
        return not letter.receipts or told == ladder

    def _identify(self, letter: Letter, message_id: str, where: str) -> None:
        """Someone says which id a letter has; all must say the same."""
        if letter.message_id not in (None, message_id):
            raise Violation(f"{where}: {letter} has a second id, {message_id}: it was stored twice")
        other = self._by_id.setdefault(message_id, letter)
        if other is not letter:
            raise Violation(f"{where}: {letter} has the id of {other}")
        letter.message_id = message_id
