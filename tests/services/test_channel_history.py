"""C{channel.history} and C{channel.list}: what is held, page by page, in memory and on disk alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from cell0gw.channels import registry
from cell0gw.channels.replay import SLICE_BYTES
from cell0gw.channels.rules import ChannelRule
from cell0gw.protocol import limits
from cell0gw.protocol.limits import MAX_PAGE
from cell0gw.services import channel as service
from cell0gw.testing import Client
from tests.channels.test_recovery import RecoveryCase
from tests.steps import growth

INVALID, NOT_FOUND, CONFLICT, FORBIDDEN = -32602, -32006, -32007, -32002


class HistoryCase(RecoveryCase):
    """With channels that hold much."""

    RULES = (*RecoveryCase.RULES, ChannelRule(pattern="x", history_size=10_000))

    def history(self, channel: str = "x", client: Client | None = None, **params: Any) -> Any:
        return (client or self.b).call("channel.history", channel=channel, **params)

    def page(self, channel: str = "x", **params: Any) -> list[int]:
        return [message["offset"] for message in self.history(channel, **params)["messages"]]


class HistoryTests(HistoryCase):
    """Pages."""

    def test_content(self) -> None:
        """A message is shown as it was published: offset, content, time and sender; beside it, what is held."""
        self.gateway.publish("x", {"n": 1}, "someone")
        self.gateway.advance(1.5)
        self.publish("two")
        expected = [
            {"offset": 1, "message": {"n": 1}, "timestamp": "2026-02-12T10:30:00.000Z", "from": "someone"},
            {"offset": 2, "message": "two", "timestamp": "2026-02-12T10:30:01.500Z", "from": "a"},
        ]
        whole = {"channel": "x", "epoch": self.epoch(), "messages": expected, "oldest": 1, "newest": 2}
        self.assertEqual(self.history(), whole | {"beginning": self.since(0), "end": self.since(2)})

    def test_directions(self) -> None:
        """Without a position from the oldest on, or back from the newest; with one after it, or before it."""
        for channel in ("x", "durable.x"):
            self.fill(6, channel)
            for params, expected in (
                ({}, [1, 2, 3, 4, 5, 6]), ({"reverse": True}, [6, 5, 4, 3, 2, 1]),
                ({"limit": 2}, [1, 2]), ({"limit": 2, "reverse": True}, [6, 5]), ({"limit": 0}, []),
            ):  # fmt: skip
                self.assertEqual(self.page(channel, **params), expected, (channel, params))
            for offset, after, before in (
                (0, [1, 2, 3], []), (1, [2, 3, 4], []), (3, [4, 5, 6], [2, 1]), (5, [6], [4, 3, 2]),
                (6, [], [5, 4, 3]), (7, [], [6, 5, 4]), (99, [], [6, 5, 4]),
            ):  # fmt: skip
                since = self.since(offset, channel)
                self.assertEqual(self.page(channel, since=since, limit=3), after, (channel, offset))
                self.assertEqual(self.page(channel, since=since, limit=3, reverse=True), before, (channel, offset))

    def test_what_is_no_longer_held(self) -> None:
        """A page begins with what is held; how much that is stands beside it."""
        self.fill(8, "three")
        page = self.history("three", since=self.since(2, "three"))
        self.assertEqual([m["offset"] for m in page["messages"]], [6, 7, 8])
        self.assertEqual((page["oldest"], page["newest"]), (6, 8))
        self.assertEqual(self.page("three", since=self.since(6, "three"), reverse=True), [])

    def test_too_old(self) -> None:
        """What is too old is not shown, from the very moment on."""
        self.subscribe("minute")
        self.gateway.advance(0.5)
        self.fill(2, "minute")
        self.gateway.advance(59.75, step=0.25)
        self.assertEqual(self.page("minute"), [1, 2])
        self.gateway.clock.advance(0.25)
        page = self.history("minute")
        self.assertEqual((page["messages"], page["oldest"], page["newest"]), ([], 3, 2))

    def test_nothing_held(self) -> None:
        """A channel with subscribers and without messages has an empty history."""
        epoch = self.subscribe()["epoch"]
        page = {"channel": "x", "epoch": epoch, "messages": [], "oldest": 1, "newest": 0}
        page |= {key: {"offset": 0, "epoch": epoch} for key in ("beginning", "end")}
        self.assertEqual(self.history(), page)
        self.assertEqual(self.history(reverse=True), page)

    def test_paging_through_all(self) -> None:
        """Page after page, in either direction, shows everything once, also when pages are shorter than asked for; the
        last one has no next, and no number need be computed.
        """
        for channel in ("x", "durable.x"):
            self.publish(*["y" * (SLICE_BYTES // 3) if n % 50 < 5 else n for n in range(333)], channel=channel)
            for reverse in (False, True):
                page = self.history(channel, limit=0, reverse=reverse)
                seen: list[int] = []
                while "next" in page:
                    page = self.history(channel, limit=50, reverse=reverse, since=page["next"])
                    self.assertTrue(page["messages"])
                    seen += [message["offset"] for message in page["messages"]]
                expected = list(range(1, 334))
                self.assertEqual(seen, expected[::-1] if reverse else expected, (channel, reverse))

    def test_positions(self) -> None:
        """The beginning brings all that is held, the end nothing; they go on behind what is no longer held."""
        for channel, held in (("three", [6, 7, 8]), ("durable.x", list(range(1, 9))), ("none", [])):
            self.fill(8, channel)
            page = self.history(channel, limit=0)
            self.assertEqual(self.page(channel, since=page["beginning"]), held)
            self.assertEqual(self.page(channel, since=page["end"]), [])
            self.assertEqual("next" in page, bool(held))
            for position in (page["beginning"], page["end"]):
                self.assertIs(self.subscribe(channel, since=position)["recovered"], True)

    def test_limit(self) -> None:
        """A limit beyond the largest is cut, and the answer says to what; one that is not is not mentioned."""
        for channel in ("x", "durable.x"):
            self.publish(*range(MAX_PAGE), channel=channel)
            for limit in (100, MAX_PAGE):
                page = self.history(channel, limit=limit)
                self.assertEqual((len(page["messages"]), "limit" in page), (limit, False))
            page = self.history(channel, limit=MAX_PAGE + 1)
            self.assertEqual((len(page["messages"]), page["limit"]), (MAX_PAGE, MAX_PAGE))
            self.assertEqual(len(self.history(channel)["messages"]), 100)

    def test_another_numbering(self) -> None:
        """A position of another numbering is refused with the one there is, and what is held of it."""
        self.fill(5, "three")
        refusal = self.b.refusal("channel.history", channel="three", since={"offset": 1, "epoch": "another"})
        self.assertEqual((refusal["code"], refusal["data"]["code"]), (CONFLICT, "conflict"))
        self.assertEqual((refusal["data"]["epoch"], refusal["data"]["oldest"]), (self.epoch("three"), 3))

    def test_no_such_channel(self) -> None:
        """A channel that nobody has used has no history, and asking makes none."""
        self.assertEqual(self.b.refusal("channel.history", channel="nothing")["code"], NOT_FOUND)
        self.assertEqual(self.b.call("channel.list")["channels"], [])

    def test_malformed(self) -> None:
        """Patterns, the gateway's own channels and senseless numbers are refused."""
        for params in (
            {"channel": ">"}, {"channel": "$agents"}, {"channel": "x", "limit": -1}, {"channel": "x", "limit": "1"},
            {"channel": "x", "since": {"offset": -1, "epoch": "e"}}, {"channel": "x", "reverse": 1}, {},
        ):  # fmt: skip
            self.assertEqual(self.b.refusal("channel.history", **params)["code"], INVALID, params)

    def test_permission(self) -> None:
        """A permission with a pattern opens the history of those channels."""
        self.fill(1, "x")
        self.fill(1, "y")
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["channel.history:x"]))
        self.assertEqual(len(self.history("x", client)["messages"]), 1)
        self.assertEqual(client.refusal("channel.history", channel="y")["code"], FORBIDDEN)

    def test_the_disk_is_busy(self) -> None:
        """What waits for the disk is no part of the history yet."""
        self.fill(3, "durable.x")
        self.store.held = True
        self.gateway.publish("durable.x", "waits")
        page = self.history("durable.x")
        self.assertEqual((len(page["messages"]), page["newest"]), (3, 3))


class ListTests(HistoryCase):
    """C{channel.list}"""

    def names(self, client: Client | None = None, **params: Any) -> list[str]:
        return [entry["channel"] for entry in (client or self.b).call("channel.list", **params)["channels"]]

    def test_entries(self) -> None:
        """An entry says how many are subscribed by name, where the numbering is, and how many messages are held."""
        self.subscribe("three")
        self.subscribe("three", self.a)
        self.subscribe(">")
        self.fill(5, "three")
        self.fill(2, "durable.x")
        listed = self.b.call("channel.list")
        self.assertEqual((listed["total"], "limit" in listed), (2, False))
        self.assertEqual(
            listed["channels"],
            [
                {"channel": "durable.x", "subscribers": 0, "offset": 2, "epoch": self.epoch("durable.x"),
                 "position": self.since(2, "durable.x"), "messages": 2, "durable": True},
                {"channel": "three", "subscribers": 2, "offset": 5, "epoch": self.epoch("three"),
                 "position": self.since(5, "three"), "messages": 3, "durable": False},
            ],
        )  # fmt: skip

    def test_pattern(self) -> None:
        """Those that a pattern covers are listed, in the order of their names; the gateway's own never."""
        self.subscribe("$agents")
        for channel in ("b.x", "a", "b", "b.y.z", "a.b"):
            self.subscribe(channel)
        for pattern, expected in (
            (">", ["a", "a.b", "b", "b.x", "b.y.z"]), ("b.>", ["b.x", "b.y.z"]), ("*", ["a", "b"]), ("a", ["a"]),
            ("*.*", ["a.b", "b.x"]), ("c", []),
        ):  # fmt: skip
            self.assertEqual(self.names(pattern=pattern), expected, pattern)
        self.assertEqual(self.names(), self.names(pattern=">"))

    def test_limit(self) -> None:
        """So many are listed as asked for, out of how many is told; a limit beyond the largest is cut, and told."""
        for channel in "abcde":
            self.subscribe(channel)
        listed = self.b.call("channel.list", limit=2)
        self.assertEqual(([c["channel"] for c in listed["channels"]], listed["total"]), (["a", "b"], 5))
        self.assertNotIn("limit", listed)
        self.patch(service, "MAX_LISTED", 3)
        self.assertEqual(limits.MAX_LISTED, 10_000)
        listed = self.b.call("channel.list", limit=4)
        self.assertEqual((len(listed["channels"]), listed["total"], listed["limit"]), (3, 5, 3))
        self.assertEqual(self.names(limit=0), [])

    def pages(self, **params: Any) -> list[list[str]]:
        """All pages of a list."""
        pages, after = [], {}
        while True:
            listed = self.b.call("channel.list", **params, **after)
            pages.append([entry["channel"] for entry in listed["channels"]])
            if "next" not in listed:
                return pages
            after = {"after": listed["next"]}

    def test_pages(self) -> None:
        """Each channel is on one page, in order; a page has as many as asked for, or as fit the answer."""
        names = [f"{first}.{second}" for first in "abc" for second in "xyz"]
        for channel in names:
            self.subscribe(channel)
        self.assertEqual(self.pages(limit=4), [names[:4], names[4:8], names[8:]])
        self.assertEqual(self.pages(limit=3, pattern="*.x"), [["a.x", "b.x", "c.x"]])
        self.assertEqual(self.pages(limit=2, pattern="b.*"), [["b.x", "b.y"], ["b.z"]])
        self.assertEqual(self.pages(limit=1, pattern="b.x"), [["b.x"]])
        self.assertEqual(self.names(pattern="b.x", after="b.x"), [])
        entry = len(json.dumps(self.b.call("channel.list", limit=1)["channels"][0], separators=(",", ":")))
        self.gateway.guard.limits.max_message_size = 2 * (2 * entry + 8)  # half of it is for what is around the page
        self.assertEqual(self.pages(), [names[at : at + 2] for at in range(0, 9, 2)])

    def test_far_between(self) -> None:
        """For one page no more than so many names are looked at: it may have few, and a next one; and no total."""
        for number in range(9):
            self.subscribe(f"{number}.{'x' if number % 4 else 'y'}")
        self.patch(registry, "MAX_LOOKED", 4)
        self.assertEqual(self.pages(pattern="*.y"), [["0.y"], ["4.y"], ["8.y"]])
        self.assertNotIn("total", self.b.call("channel.list", pattern="*.y"))
        self.assertEqual(self.b.call("channel.list", pattern="4.>")["total"], 1)
        self.assertEqual(self.b.call("channel.list", pattern="4.*")["total"], 1)
        self.assertEqual(self.b.call("channel.list")["total"], 9)

    def test_growth(self) -> None:
        """However many channels there are, a page is as much work."""

        def listed(pattern: str, size: int) -> Callable[[], object]:
            for number in range(size):
                self.gateway.publish(f"a.{size}.{number}", 1, "a")
            return lambda: self.b.call("channel.list", limit=1, pattern=pattern)

        for pattern in (">", "a.>"):
            self.assertLessEqual(growth(partial(listed, pattern), 200), 1.1)

    def test_those_that_are_gone(self) -> None:
        """A channel is listed while it has subscribers or holds messages."""
        self.subscribe("minute")
        self.fill(1, "minute")
        self.b.call("channel.unsubscribe", channel="minute")
        self.assertEqual(self.names(), ["minute"])
        self.gateway.advance(62)
        self.assertEqual(self.names(), [])
        self.subscribe("none")
        self.fill(1, "none")
        self.assertEqual(self.names(), ["none"])

    def test_permission(self) -> None:
        """Who may list some channels lists those, and asks for no others."""
        for channel in ("a.x", "b.x"):
            self.subscribe(channel)
        client = self.gateway.connect(token=self.gateway.token("c", permissions=["channel.list:a.>"]))
        self.assertEqual(self.names(client, pattern="a.>"), ["a.x"])
        self.assertEqual(self.names(client, pattern="a.*"), ["a.x"])
        for pattern in (">", "b.>", "*.x"):
            self.assertEqual(client.refusal("channel.list", pattern=pattern)["code"], FORBIDDEN, pattern)
        self.assertEqual(client.refusal("channel.list")["code"], FORBIDDEN)
