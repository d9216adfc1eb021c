"""Who is here, in pages: a list of everybody can be had, however many they are and whatever they say of themselves."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.limits import MAX_CAPABILITIES, MAX_ENTITY_CAPABILITIES, MAX_ENTITY_CAPABILITIES_SIZE
from cell0gw.sessions.ending import Ending, EndingKind
from cell0gw.testing import Client, MemoryGateway

LISTS = ("presence.get", "agent.list")


class PageTests(SynchronousTestCase):
    """C{presence.get} and C{agent.list}."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.stranger = self.gateway.connect()
        for number in (3, 1, 4, 2, 0):
            self.gateway.connect(f"a{number}", capabilities=["chat"], metadata={"x": "x" * 6000})
        self.agent = self.gateway.connect("a5")
        self.everybody = [f"a{number}" for number in range(6)]

    def pages(self, client: Client, method: str, **params: Any) -> list[list[str]]:
        """The ids, page by page."""
        answer, pages = client.call(method, **params), []
        while True:
            pages.append([entry["entity_id"] for entry in answer["entries"]])
            if "next" not in answer:
                return pages
            answer = client.call(method, **{**params, "after": answer["next"]})

    def test_all_of_it(self) -> None:
        """Without a limit the answer is an array of everybody, sorted by their ids."""
        for client in (self.agent, self.stranger):
            for method in LISTS:
                self.assertEqual([entry["entity_id"] for entry in client.call(method)], self.everybody)

    def test_limit(self) -> None:
        """Pages of a length have everybody once, in the same order."""
        for client in (self.agent, self.stranger):
            for method in LISTS:
                self.assertEqual(self.pages(client, method, limit=4), [self.everybody[:4], self.everybody[4:]])
                self.assertEqual(self.pages(client, method, limit=6), [self.everybody])
                self.assertEqual(self.pages(client, method, after="a3"), [["a4", "a5"]])
                self.assertEqual(self.pages(client, method, after="b"), [[]])
            self.assertEqual(
                self.pages(client, "agent.list", limit=2, capability="chat"),
                [["a0", "a1"], ["a2", "a3"], ["a4"]],
            )
            self.assertEqual(self.pages(client, "presence.get", limit=2, entity_type="user"), [[]])

    def test_more_than_an_answer_holds(self) -> None:
        """What does not fit an answer is in several: the first one says where to go on."""
        self.gateway.guard.limits.max_message_size = 20_000
        for method in LISTS:
            pages = self.pages(self.agent, method)
            self.assertEqual([len(page) for page in pages], [2, 2, 2])
            self.assertEqual([entity_id for page in pages for entity_id in page], self.everybody)

    def test_more_for_strangers(self) -> None:
        """So it is for those who have not authenticated, and may see less."""
        self.gateway.guard.limits.max_message_size = 600  # half of it is for what is around the page
        for method in LISTS:
            pages = self.pages(self.stranger, method)
            self.assertGreater(len(pages), 1)
            self.assertEqual([entity_id for page in pages for entity_id in page], self.everybody)

    def test_who_comes_and_goes(self) -> None:
        """Who is here all the time is on one page, whoever comes and goes between two."""
        first = self.agent.call("presence.get", limit=3)
        self.gateway.connect("a00")
        self.gateway.connect("a35")
        self.gateway.sessions.close(self.gateway.presence.directory.sessions("a2")[0], Ending(EndingKind.LOST))
        second = self.agent.call("presence.get", limit=9, after=first["next"])
        self.assertEqual([entry["entity_id"] for entry in second["entries"]], ["a3", "a35", "a4", "a5"])
        self.assertNotIn("next", second)

    def test_one_stands_alone(self) -> None:
        """An entity has no pages."""
        for params in ({"limit": 1}, {"after": "a"}, {"entity_type": "agent"}):
            self.assertEqual(self.agent.refusal("presence.get", entity_id="a1", **params)["code"], -32602)


class WatchTests(SynchronousTestCase):
    """C{presence.subscribe}: the snapshot comes in pages, and what changes meanwhile beside them."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.clients = {f"w.{n}": self.gateway.connect(f"w.{n}", metadata={"x": "x" * 6000}) for n in range(8)}
        self.watcher = self.gateway.connect("watcher")
        self.gateway.advance(1)
        self.seen: dict[str, str] = {}

    def take(self, snapshot: dict[str, Any]) -> str | None:
        """Take what has changed until a page came, then the page.

        @return: where to go on.
        """
        self.changes()
        self.seen.update((entry["entity_id"], entry["status"]) for entry in snapshot["entries"])
        return snapshot.get("next")

    def changes(self) -> None:
        for diff in self.watcher.received("presence.diff"):
            self.seen.update((entry["entity_id"], entry["status"]) for entry in diff["joins"] + diff["updates"])
            for entry in diff["leaves"]:
                self.seen.pop(entry["entity_id"], None)
        del self.watcher.messages[:]

    def truth(self) -> dict[str, str]:
        entries = self.gateway.presence.directory.entries()
        return {entry.entity_id: entry.status for entry in entries if entry.entity_id.startswith("w.")}

    def test_more_than_an_answer_holds(self) -> None:
        """Everybody is seen as they are, whatever comes between two pages."""
        self.gateway.guard.limits.max_message_size = 20_000
        after = self.take(self.watcher.call("presence.subscribe", pattern="w.*"))
        self.assertEqual((after, len(self.seen)), ("w.1", 2))
        self.clients["w.0"].disconnect()
        self.clients["w.7"].disconnect()
        self.clients["w.4"].call("presence.update", status="busy")
        self.gateway.connect("w.9")
        self.gateway.advance(1)
        pages = 1
        while after is not None:
            after = self.take(self.watcher.call("presence.subscribe", pattern="w.*", after=after))
            pages += 1
        self.assertEqual(self.seen, self.truth())
        self.assertGreater(pages, 3)
        self.clients["w.1"].call("presence.update", status="away")
        self.gateway.advance(1)
        self.changes()
        self.assertEqual(self.seen, self.truth())

    def test_limit(self) -> None:
        """A page has as many as asked for; one entity by its name is on the first one."""
        first = self.watcher.call("presence.subscribe", pattern="w.*", limit=5)
        rest = self.watcher.call("presence.subscribe", pattern="w.*", limit=5, after=first["next"])
        self.assertEqual([entry["entity_id"] for entry in rest["entries"]], ["w.5", "w.6", "w.7"])
        self.assertNotIn("next", rest)
        one = self.watcher.call("presence.subscribe", pattern="w.3", limit=1)
        self.assertEqual(([entry["entity_id"] for entry in one["entries"]], one.get("next")), (["w.3"], None))
        self.assertEqual(self.watcher.call("presence.subscribe", pattern="w.3", after="w.3")["entries"], [])


class BoundTests(SynchronousTestCase):
    """What one entity may add to everybody's lists."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.token = self.gateway.token("a")

    def declared(self, number: int) -> list[str]:
        return [f"c{number}_{each}" for each in range(MAX_CAPABILITIES)]

    def test_capabilities(self) -> None:
        """All sessions of an entity have so many capabilities together; one beyond that is refused, and not here."""
        sessions = MAX_ENTITY_CAPABILITIES // MAX_CAPABILITIES
        clients = [
            self.gateway.connect(token=self.token, capabilities=self.declared(number)) for number in range(sessions)
        ]
        late = self.gateway.connect()
        refusal = late.refusal("auth.authenticate", token=self.token, capabilities=["one", "more"])
        self.assertEqual(refusal["code"], -32005)
        self.assertEqual(len(self.gateway.presence.directory.sessions("a")), sessions)
        late.call("auth.authenticate", token=self.token, capabilities=self.declared(0))
        self.gateway.connect("b", capabilities=["one", "more"])
        clients[1].disconnect()
        again = self.gateway.connect(token=self.token, capabilities=["one", "more"])
        entry = again.call("presence.get", entity_id="a")
        self.assertEqual(len(entry["capabilities"]), MAX_ENTITY_CAPABILITIES - MAX_CAPABILITIES + 2)

    def test_long_capabilities(self) -> None:
        """What they take in an entry is bounded as well: it goes to all who watch, whenever the entity says a word."""
        long = [[f"{each}{number}".ljust(200, "x") for number in range(MAX_CAPABILITIES)] for each in "abc"]
        self.gateway.connect(token=self.token, capabilities=long[0])
        refusal = self.gateway.connect().refusal("auth.authenticate", token=self.token, capabilities=long[1])
        self.assertEqual(refusal["code"], -32005)
        self.gateway.connect(token=self.token, capabilities=long[1][:60])
        entry = self.gateway.presence.directory.get("a")
        assert entry is not None
        self.assertLess(sum(map(len, entry.capabilities)), MAX_ENTITY_CAPABILITIES_SIZE)

    def test_one_type(self) -> None:
        """An id is here as one of one type: another one is refused, and the agent leaves as agents do."""
        watcher = self.gateway.connect("watcher")
        watcher.call("channel.subscribe", channel="$agents")
        agent = self.gateway.connect(token=self.token)
        other = self.gateway.connect()
        user = self.gateway.token("a", "user")
        refusal = other.request("auth.authenticate", {"token": user}).get("error", {})
        self.assertEqual((refusal.get("code"), refusal.get("data", {}).get("code")), (-32007, "conflict"))
        self.assertIn("a is here as one of the type agent", refusal["message"])
        self.assertIn("a", [entry["entity_id"] for entry in watcher.call("agent.list")])
        agent.disconnect()
        watcher.flush()
        self.assertEqual([event["type"] for event in watcher.received("event")], ["agent.online", "agent.offline"])
        self.assertEqual(other.call("auth.authenticate", token=user)["entity_type"], "user")
