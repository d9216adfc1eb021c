"""The stories: each is told once, in the words of both sides, and notes what it has observed."""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.comparison import mortal
from tests.comparison.facts import (
    AFTERWARDS,
    ANSWERED,
    CAME,
    LEARNED,
    LEFT,
    QUIET,
    TOLD,
    Letter,
    Told,
    came,
    learned,
    times,
    within,
)
from tests.comparison.parties import Desk, Receiver, Side
from tests.e2e.processes import PATIENCE

WAIT: Final = 2.0
"""For how many seconds a worker may be silent, where a story is about that."""
LONG: Final = 300.0
"""For how many seconds it may be where it is not."""
TEN_MINUTES: Final = 600.0
USUAL: Final = 30.0
"""For how many seconds it may be silent by default, on both sides."""
MANY: Final = 100
LOOP: Final = 1000
COUNT: Final = 150
"""How many messages are published to one that does not read."""
SIZE: Final = 100_000
"""Of how many bytes."""


def take_all(receiver: Receiver, first: float = PATIENCE) -> list[Letter]:
    """All that comes, each done at once."""
    letters = []
    while (letter := receiver.take(QUIET if letters else first)) is not None:
        letters.append(letter)
        receiver.done(letter)
    return letters


def away(side: Side, told: Told) -> None:
    """The receiver is away when something is sent, and the sender when it is done."""
    desk = side.mail(LONG)
    sender = desk.sender()
    told.note(ANSWERED, sender.send("hello"))
    sender.leave()
    receiver = desk.receiver()
    told.note(CAME, came(take_all(receiver)))
    receiver.leave()
    sender.come_back()
    told.note(LEARNED, learned(sender.learned(1)))
    sender.leave()


def slow(side: Side, told: Told) -> None:
    """The receiver works for twenty times the wait, and says from time to time that it does."""
    desk = side.mail(WAIT)
    sender, receiver = desk.sender(), desk.receiver()
    sender.send("slow")
    first = receiver.take(PATIENCE)
    assert first is not None, "nothing came"
    other = desk.receiver()
    letters, ends = [first], time.monotonic() + TEN_MINUTES / USUAL * WAIT
    while time.monotonic() < ends:
        receiver.working(first)
        if (again := other.take(WAIT / 4)) is not None:
            letters.append(again)
    receiver.done(first)
    told.note(CAME, f"{came(letters)}, while a second one waited for it")
    told.note(LEARNED, learned(sender.learned(1)))
    for one in (receiver, other, sender):
        one.leave()
    side.on_a_clock(told, TEN_MINUTES)


def silent(side: Side, told: Told) -> None:
    """The receiver begins, and is not heard of again, each time."""
    desk = side.mail(WAIT)
    sender, receiver = desk.sender(), desk.receiver()
    sender.send("poison")
    letters = []
    while (letter := receiver.take(PATIENCE if not letters else QUIET + WAIT)) is not None:
        letters.append(letter)
        receiver.working(letter)
    told.note(CAME, came(letters))
    told.note(LEARNED, learned(sender.learned(1)))
    told.note(LEFT, side.left())
    receiver.leave()
    sender.leave()


def killed(side: Side, told: Told) -> None:
    """The receiver's process is killed in mid-work, and another one is there."""
    desk = side.mail(WAIT)
    sender = desk.sender()
    sender.send("killed")
    _kill(desk)
    receiver, began = desk.receiver(), time.monotonic()
    letter = receiver.take(PATIENCE)
    assert letter is not None, "nothing came"
    told.note(CAME, f"the message, as attempt {letter.attempt}, {within(time.monotonic() - began)} of the kill")
    receiver.done(letter)
    told.note(LEARNED, learned(sender.learned(1)))
    receiver.leave()
    sender.leave()


def killed_once(side: Side, told: Told) -> None:
    """The same with work that must not be begun twice."""
    desk = side.jobs(WAIT)
    sender = desk.sender()
    sender.send("pay")
    _kill(desk)
    receiver = desk.receiver()
    told.note(CAME, came(take_all(receiver, WAIT + 2 * QUIET)))
    told.note(LEARNED, learned(sender.learned(1)))
    told.note(LEFT, side.left())
    receiver.leave()
    sender.leave()


def crash(side: Side, told: Told) -> None:
    """The server is killed while work waits and while one is at it; the last answer is taken for lost."""
    desk = side.jobs(LONG)
    sender, receiver = desk.sender(), desk.receiver()
    for number in range(MANY):
        sender.send(f"job {number}")
    held = receiver.take(PATIENCE)
    assert held is not None, "nothing came"
    receiver.working(held)
    side.kill()
    desk = side.jobs(LONG)
    again, receiver = desk.sender(), desk.receiver()
    told.note(ANSWERED, f"to the last one, sent again with the same key: {again.send(f'job {MANY - 1}')}")
    again.leave()
    told.note(CAME, f"the one that it was at: its result is taken after the restart, {receiver.done(held)}")
    told.note(CAME, f"in all {came([held, *take_all(receiver)])}")
    sender.come_back(desk)
    found = sender.learned(MANY)
    told.note(LEARNED, learned(one for one in found if one.end))
    told.note(LEARNED, f"of one message {times(max(found.count(one) for one in found if one.end))} at most")
    receiver.leave()
    sender.leave()


def mistyped(side: Side, told: Told) -> None:
    """A name with two letters the wrong way round, while the right one is there."""
    told.note(ANSWERED, *(f"{what}: {answer}" for what, answer in side.mistyped()))


def conversation(side: Side, told: Told) -> None:
    """Two agents that answer each message with a message."""
    number, ended = side.converse(LOOP)
    told.note(ANSWERED, f"the reply number {number}: {ended}" if ended else "every one is taken")
    told.note(AFTERWARDS, "it is over" if ended else f"they went on until they were stopped, after {number:,} messages")


def deadlock(side: Side, told: Told) -> None:
    """Two agents that do one thing at a time, and wait for each other's answer."""
    told.note(TOLD, *(f"{who}: {what}" for who, what in side.deadlock(10.0)))


def revoked(side: Side, told: Told) -> None:
    """The receiver's credential is taken away while it is connected."""
    ended, late, refused = side.revoke()
    told.note(TOLD, ended)
    told.note(CAME, f"of what is published from then on {late}")
    told.note(AFTERWARDS, f"connecting again: {refused}")


def stalled(side: Side, told: Told) -> None:
    """A subscriber that stops reading, beside one that reads."""
    side.stalled(told, COUNT, SIZE)


def _kill(desk: Desk) -> None:
    worker = mortal.start(desk)
    try:
        worker.signal(signal.SIGKILL)
        status = worker.wait()
    finally:
        worker.kill()
    assert status == -signal.SIGKILL, worker.output
