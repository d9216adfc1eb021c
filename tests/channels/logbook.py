"""A log of all that was published, and of who is to have what of it: what a gateway is measured by."""

from __future__ import annotations

from typing import Any, NamedTuple

from cell0gw.channels.rules import ChannelRule
from cell0gw.protocol.subjects import covers
from cell0gw.testing import Client

RULES = {
    "a": ChannelRule(pattern="a", history_size=3, history_ttl=100.0),
    "a.b": ChannelRule(pattern="a.b", history_size=0, history_ttl=100.0),
    "b": ChannelRule(pattern="b", history_size=5, history_ttl=1000.0),
    "d": ChannelRule(pattern="d", history_size=6, history_ttl=200.0, durable=True),
}


class Publication(NamedTuple):
    """One that was made. C{number} and C{even} are its content, the latter for filters."""

    channel: str
    epoch: str
    offset: int
    number: int
    even: bool
    time: float

    @property
    def content(self) -> dict[str, Any]:
        """What was published."""
        return {"number": self.number, "even": self.even}

    @property
    def position(self) -> dict[str, Any]:
        """As on the wire."""
        return {"offset": self.offset, "epoch": self.epoch}


class Peer:
    """A client over all of its connections, and what it is to receive.

    @ivar subscriptions: by name: the filter, and how many publications there had been when it began.
    @ivar expected: what the present connection is to receive, by channel.
    @ivar got: all that it has received; C{owed}: what it should have, by connections that broke, or meanwhile.
    @ivar seen: the last position that it has received, by channel.
    @ivar lost_at: since when its connection is broken.
    """

    def __init__(self, entity_id: str, token: str) -> None:
        self.entity_id, self.token = entity_id, token
        self.client: Client | None = None
        self.secret = ""
        self.subscriptions: dict[str, tuple[bool | None, int]] = {}
        self.expected: dict[str, list[Publication]] = {}
        self.got: set[Publication] = set()
        self.owed: set[Publication] = set()
        self.seen: dict[str, dict[str, Any]] = {}
        self.lost_at = 0.0

    def wants(self, publication: Publication) -> bool:
        return any(
            covers(name, publication.channel) and wanted in (None, publication.even)
            for name, (wanted, _) in self.subscriptions.items()
        )

    def expect(self, publications: list[Publication]) -> None:
        """These are to come, as far as they are wanted, after all of their channel that is to come already."""
        for each in filter(self.wants, publications):
            self.expected.setdefault(each.channel, []).append(each)

    def lose(self, now: float) -> None:
        """The connection is gone, and with it what was on its way."""
        self.owed.update(*self.expected.values())
        self.client, self.expected, self.lost_at = None, {}, now

    def forget(self) -> None:
        """There is nothing left of what it was subscribed to."""
        self.subscriptions, self.owed = {}, set()

    def came(self, log: Log) -> dict[str, list[Publication]]:
        """What has come by the present connection, by channel."""
        assert self.client is not None
        came: dict[str, list[Publication]] = {channel: [] for channel in RULES}
        for params in self.client.received("channel.message"):
            publication = log.places[params["channel"], params["epoch"], params["offset"]]
            assert params["message"] == publication.content
            came[publication.channel].append(publication)
            self.seen[publication.channel] = publication.position
            self.got.add(publication)
        return came


class Log:
    """All publications, in order.

    @ivar all: them.
    @ivar places: them by channel, epoch and offset.
    """

    def __init__(self) -> None:
        self.all: list[Publication] = []
        self.places: dict[tuple[str, str, int], Publication] = {}

    def __len__(self) -> int:
        return len(self.all)

    def of(self, channel: str, since: int = 0) -> list[Publication]:
        """Those of a channel.

        @param since: leave out so many of the first ones of all channels.
        """
        return [each for each in self.all[since:] if each.channel == channel]

    def after(self, channel: str, position: dict[str, Any]) -> list[Publication]:
        """Those that follow a position, be they of another numbering."""
        every = self.of(channel)
        return every[every.index(self.places[channel, position["epoch"], position["offset"]]) + 1 :]

    def held(self, channel: str, now: float) -> list[Publication]:
        """What must be held: the newest so many, as far as they are not too old."""
        size, ttl = RULES[channel].history_size, RULES[channel].history_ttl
        every = self.of(channel)
        numbering = [each for each in every if each.epoch == every[-1].epoch]
        return [each for each in numbering[-size:] if each.time > now - ttl] if size else []

    def record(self, channel: str, content: dict[str, Any], offset: int, epoch: str, now: float) -> Publication:
        """One more, numbered after the one before it, or the first of a numbering like none before."""
        before = self.of(channel)
        if before and before[-1].epoch == epoch:
            assert offset == before[-1].offset + 1
        else:
            assert offset == 1
            assert epoch not in {each.epoch for each in before}
            assert not self.held(channel, now), "a numbering ended while messages were held"
        made = Publication(channel, epoch, offset, content["number"], content["even"], now)
        self.all.append(made)
        self.places[made[:3]] = made
        return made
