"""A subscriber whose connection is cut again and again, and who must notice when something is missing."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any, Final

from tests.crash.wire import Answer, Connection, Lost, Violation

CHANNEL: Final = "storm.news"
PATTERN: Final = "storm.*"
HOWS: Final = ("since", "resume", "pattern")
"""How one comes back: by C{channel.subscribe} with C{since}; by C{session.resume}; by that, subscribed to a pattern."""


HASTY: Final = 0.2
"""So many connections are cut about when they are set up."""
HOLE: Final = "told of a hole"


def content_of(offset: int) -> dict[str, Any]:
    """The only message that may have this offset."""
    return {"number": offset, "text": chr(97 + offset % 26) * (20 + offset % 100)}


class Subscriber:
    """One subscriber, and all that it has got.

    @param name: its entity id.
    @param how: one of L{HOWS}.
    @param pause: for how many seconds it stays away at most, usually much less.
    @ivar calm: whether it is not cut any more.
    @ivar first: the offset of the first message that it must get.
    @ivar offsets: of all messages, as they came.
    @ivar holes: what it was told that it has missed: after which offset, up to which.
    @ivar last: the offset up to which it has everything, or knows that it has not.
    """

    def __init__(
        self,
        name: str,
        how: str,
        token: str,
        port: int,
        chance: random.Random,
        pause: float,
        counts: Counter[str],
    ) -> None:
        self.name = name
        self._how = how
        self._token = token
        self._port = port
        self._chance = chance
        self._pause = pause
        self._counts = counts
        self._secret: str | None = None
        self._epoch: str | None = None
        self._connection: Connection | None = None
        self._subscribed: asyncio.Future[None] | None = None
        self.offsets: list[int] = []
        self.holes: list[tuple[int, int]] = []
        self.calm = False
        self.first = 1
        self.last = 0

    async def live(self) -> None:
        """Connect, go on, and again, for ever."""
        while True:
            self._connection = connection = Connection(self._heard)
            if self._chance.random() < HASTY:
                asyncio.get_running_loop().call_later(self._chance.uniform(0, 0.03), self.cut)
            try:
                await connection.open(self._port)
                session = await connection.call("auth.authenticate", token=self._token, entity_id=self.name)
                await self._go_on(connection)
                # Not before: until then the place that is kept is the old session's.
                self._secret = session["resume_token"]
                await connection.lost
            except Lost:
                self._counts["connections cut before all was set up"] += 1
            if connection.close_code is not None:
                self._counts[f"connections closed with {connection.close_code}"] += 1
            await asyncio.sleep(self._pause * self._chance.random() ** 3)

    def cut(self) -> None:
        """Lose the connection, if there is one, in one of three ways."""
        connection = self._connection
        if connection is None or self.calm:
            return
        match self._chance.randrange(3):
            case 0:
                connection.reset()
            case 1:
                connection.drop()
            case 2:
                connection.fall_silent()
                asyncio.get_running_loop().call_later(self._chance.uniform(0, 2), connection.drop)

    async def ping(self) -> None:
        """Wait until everything that the gateway has written to it so far is here."""
        while True:
            try:
                assert self._connection is not None
                await self._connection.call("rpc.ping")
                return
            except Lost:
                await asyncio.sleep(0.05)

    def check(self, newest: int) -> None:
        """At the end: it has every offset from its first one on, once, in order, but for the holes it was told of.

        @raise Violation: it has not.
        """
        missed = {offset for after, upto in self.holes for offset in range(after + 1, upto + 1)}
        wanted = [offset for offset in range(self.first, newest + 1) if offset not in missed]
        if self.offsets != wanted:
            raise Violation(f"{self.name} got {self.offsets} of {self.first} to {newest}; it knew of {self.holes}")

    async def _go_on(self, connection: Connection) -> None:
        """Go on where it was, by the place of the old session, or by the position.

        @raise Lost: the connection was cut before.
        """
        self._subscribed = asyncio.get_running_loop().create_future()
        if self._secret is not None and self._how != "since":
            positions = {CHANNEL: {"offset": self.last, "epoch": self._epoch}}
            connection.send(self._resumed, "session.resume", resume_token=self._secret, positions=positions)
        else:
            self._subscribe()
        await self._subscribed

    def _subscribe(self) -> None:
        assert self._connection is not None
        since = {} if self._epoch is None else {"since": {"offset": self.last, "epoch": self._epoch}}
        self._connection.send(self._answered, "channel.subscribe", channel=CHANNEL, **since)
        if self._how == "pattern":  # afterwards: else it would be live before it has what it missed
            self._connection.send(lambda answer: None, "channel.subscribe", channel=PATTERN)

    def _resumed(self, answer: Answer | None) -> None:
        if answer is None:
            self._settle(None)
        elif "error" in answer:
            raise Violation(f"{self.name}: session.resume: {answer['error']}")
        elif CHANNEL in answer["result"]["channels"]:
            self._counts["resumed"] += 1
            self._settle(answer["result"]["channels"][CHANNEL])
        else:
            # Its place is not kept any more, or the old session had lost its connection before it had subscribed.
            self._counts["not resumed"] += 1
            self._subscribe()

    def _answered(self, answer: Answer | None) -> None:
        if answer is not None and "error" in answer:
            raise Violation(f"{self.name}: channel.subscribe: {answer['error']}")
        self._settle(None if answer is None else answer["result"])

    def _settle(self, outcome: dict[str, Any] | None) -> None:
        """It is subscribed, or the connection is lost."""
        assert self._subscribed is not None
        if self._subscribed.done():
            return
        if outcome is None:
            self._subscribed.set_exception(Lost("cut while it subscribed"))
            return
        if self._epoch is None:
            self._epoch, self.last = outcome["epoch"], outcome["offset"]
            self.first = self.last + 1
        elif outcome["epoch"] != self._epoch or outcome["offset"] < self.last:
            raise Violation(f"{self.name} was at {self.last} of {self._epoch}, and is told {outcome}")
        elif outcome["recovered"]:
            self._counts["recovered"] += 1
        else:
            self._counts[HOLE] += 1
            if outcome["offset"] == self.last or outcome["oldest"] <= self.last + 1:
                raise Violation(f"{self.name} was at {self.last}, and is told that it missed something: {outcome}")
            self.holes.append((self.last, outcome["offset"]))
            self.last = outcome["offset"]
        self._subscribed.set_result(None)

    def _heard(self, method: str, params: Any) -> None:
        if method != "channel.message":
            return
        offset = params["offset"]
        if offset != self.last + 1 or params["epoch"] != self._epoch:
            raise Violation(f"{self.name} got {offset} of {params['epoch']} after {self.last} of {self._epoch}")
        if params["message"] != content_of(offset) or params["channel"] != CHANNEL:
            raise Violation(f"{self.name} got something else: {params}")
        self.last = offset
        self.offsets.append(offset)
