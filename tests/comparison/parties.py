"""What the stories ask of both sides: who sends, who works, and what may happen to them."""

from __future__ import annotations

from typing import Any, Protocol

from tests.comparison.facts import Learned, Letter, Told


class Sender(Protocol):
    """Who sends."""

    def send(self, text: str, key: str | None = None) -> str:
        """Send a text to the worker, under a key that makes it safe to send it again.

        @return: in words, what was answered.
        """

    def learned(self, ends: int) -> list[Learned]:
        """What has become of what was sent, read until so many ends are among it, or nothing more comes."""

    def leave(self) -> None:
        """Go away, and keep what is needed to ask later."""

    def come_back(self, desk: Desk | None = None) -> None:
        """Be there again.

        @param desk: where it is now, if the server is another process by now.
        """


class Receiver(Protocol):
    """Who works."""

    def take(self, seconds: float) -> Letter | None:
        """The next one; None: none came in this time."""

    def working(self, letter: Letter) -> None:
        """Say that the work has begun, or goes on."""

    def done(self, letter: Letter) -> str:
        """Say that it is done, with a result if results are brought there.

        @return: in words, what was answered.
        """

    def leave(self) -> None:
        """Go away in an orderly way."""


class Desk(Protocol):
    """A way in which work reaches the worker."""

    def params(self) -> dict[str, Any]:
        """What makes the same desk in another process."""

    def sender(self) -> Sender:
        """A sender that is connected."""

    def receiver(self) -> Receiver:
        """A session of the worker that is connected."""


class Side(Protocol):
    """One of the two that the stories are told to.

    @ivar built: what its user has to build, as far as the last story has needed it.
    """

    name: str
    built: dict[str, None]

    def versions(self) -> str:
        """What was run."""

    def mail(self, wait: float) -> Desk:
        """Work that may be begun up to five times."""

    def jobs(self, wait: float) -> Desk:
        """Work that is begun once at most, and has a result."""

    def kill(self) -> None:
        """SIGKILL, and the next process."""

    def close(self) -> None:
        """Leave no process behind."""

    def left(self) -> str:
        """Where the work that was given up is, if it is anywhere; it is removed then."""

    def on_a_clock(self, told: Told, seconds: float) -> None:
        """Work for so many seconds on a clock that is moved, where there is one."""

    def mistyped(self) -> list[tuple[str, str]]:
        """What is answered to each way of using a name that nobody bears."""

    def converse(self, limit: int) -> tuple[int, str]:
        """Two that answer each message: how many were sent, and what ended it, if anything did."""

    def deadlock(self, patience: float) -> list[tuple[str, str]]:
        """Two that wait for each other's answer: who is told what."""

    def revoke(self) -> tuple[str, str, str]:
        """Take a credential away: what its bearer is told, what still comes to it, what a second attempt is told."""

    def stalled(self, told: Told, count: int, size: int) -> None:
        """One of two subscribers stops reading, while so many messages of so many bytes are published."""
