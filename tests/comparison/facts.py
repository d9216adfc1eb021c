"""What a story observes, and the words for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

ANSWERED: Final = "The sender is answered"
CAME: Final = "The receiver gets"
LEARNED: Final = "The sender learns"
LEFT: Final = "What is left"
TOLD: Final = "The one concerned is told"
AFTERWARDS: Final = "And afterwards"
BUILT: Final = "You build"

QUIET: Final = 4.0
"""After how many seconds without anything new a story takes it that nothing more comes."""
BOUNDS: Final = (1, 3, 10, 30, 60, 120)


class Letter(NamedTuple):
    """What came to a receiver.

    @ivar attempt: how often it has been brought, as the other side counts it.
    @ivar handle: what the receiver names it by.
    """

    text: str
    attempt: int
    handle: Any


class Learned(NamedTuple):
    """What a sender learned of a text, in words.

    @ivar end: whether nothing more is to come of it.
    """

    text: str
    words: str
    end: bool


class Told:
    """What was observed in one story on one side, row by row."""

    def __init__(self) -> None:
        self.rows: dict[str, list[str]] = {}

    def note(self, row: str, *phrases: str) -> None:
        """Add to a row what was observed."""
        self.rows.setdefault(row, []).extend(phrases)

    def cell(self, row: str) -> str:
        """A row, as it stands in the table."""
        words = "; ".join(phrase for phrase in self.rows.get(row, []) if phrase) or "nothing"
        return words[0].upper() + words[1:]


def times(number: int) -> str:
    """A number of times, in words."""
    return {0: "never", 1: "once", 2: "twice"}.get(number, f"{number} times")


def messages(number: int) -> str:
    """So many messages, in words."""
    return f"{number} message{'' if number == 1 else 's'}"


def within(seconds: float) -> str:
    """A duration, so roughly that it is the same on a busy machine."""
    return next((f"within {bound} s" for bound in BOUNDS if seconds <= bound), f"after more than {BOUNDS[-1]} s")


def came(letters: Iterable[Letter]) -> str:
    """How often each text came, and as which attempt."""
    letters = list(letters)
    if not letters:
        return "nothing"
    how_often = Counter(Counter(letter.text for letter in letters).values())
    if len({letter.text for letter in letters}) == 1:
        attempts = ", ".join(str(letter.attempt) for letter in letters)
        return f"the message {times(len(letters))}, as attempt{'s' if len(letters) > 1 else ''} {attempts}"
    return ", ".join(f"{messages(number)} {times(often)}" for often, number in sorted(how_often.items()))


def gathered(poll: Callable[[float], Learned | None], ends: int, quiet: float = QUIET) -> list[Learned]:
    """Read what comes, until so many ends have come, or nothing has for some seconds.

    @param poll: the next thing within so many seconds; None: there was none.
    """
    found: list[Learned] = []
    while sum(one.end for one in found) < ends and (one := poll(quiet)) is not None:
        found.append(one)
    return found


def learned(found: Iterable[Learned]) -> str:
    """What was learned: of one text in order, of several counted."""
    found = list(dict.fromkeys(found))
    if not found:
        return "nothing"
    texts = {one.text for one in found}
    if len(texts) == 1:
        return ", then ".join(one.words for one in found)
    counted = Counter(one.words for one in found)
    return ", ".join(f"{words} for {messages(number)}" for words, number in counted.items())
