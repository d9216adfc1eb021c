"""Watching presence: a snapshot, and then what makes of it what is true now."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence import watches
from cell0gw.presence.watches import EVERY, MAX_WATCHES
from cell0gw.protocol.subjects import covers
from cell0gw.testing import Client, MemoryGateway


def entries_of(found: list[Any]) -> dict[str, Any]:
    """By id, without what every byte changes."""
    return {entry["entity_id"]: {k: v for k, v in entry.items() if k != "last_seen"} for entry in found}


class View:
    """What a client holds of a pattern: the snapshot, and every diff applied to it."""

    def __init__(self, client: Client, pattern: str, snapshot: Any = None) -> None:
        self.client, self.pattern = client, pattern
        if snapshot is None:
            client.flush()
            del client.messages[:]
            snapshot = client.call("presence.subscribe", pattern=pattern)
        self.version, self.entries = snapshot["version"], entries_of(snapshot["entries"])

    def apply(self, diff: Any) -> None:
        """One version more: who joins was not here, who leaves or changes was."""
        if diff["pattern"] != self.pattern:
            return
        assert (diff["from"], diff["to"]) == (self.version, self.version + 1)
        assert diff["joins"] or diff["leaves"] or diff["updates"]
        self.version = diff["to"]
        for entry in diff["joins"]:
            assert entry["entity_id"] not in self.entries
        for entry in diff["leaves"]:
            del self.entries[entry["entity_id"]]
        assert entries_of(diff["updates"]).keys() <= self.entries.keys()
        self.entries |= entries_of(diff["joins"]) | entries_of(diff["updates"])


def catch_up(client: Client, views: list[View]) -> list[Any]:
    """Let a client apply what has come."""
    diffs = client.received("presence.diff")
    del client.messages[:]
    for diff in diffs:
        for view in views:
            view.apply(diff)
    return diffs


class Case(SynchronousTestCase):
    """With a gateway and someone who watches."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)
        self.watcher = self.gateway.connect("watcher")

    def settle(self) -> None:
        """Let what is gathered be told."""
        self.gateway.advance(EVERY)

    def diffs(self) -> list[tuple[list[str], list[str], list[str]]]:
        """Who joined, left and changed, diff by diff, since the last look."""
        found = self.watcher.received("presence.diff")
        del self.watcher.messages[:]
        kinds = ("joins", "leaves", "updates")
        return [tuple([e["entity_id"] for e in diff[kind]] for kind in kinds) for diff in found]  # type: ignore[misc]


class SubscribeTests(Case):
    """C{presence.subscribe} and C{presence.unsubscribe}"""

    def test_wide_patterns(self) -> None:
        """A pattern of very many segments, or stars, is refused, and nothing is watched; a name may be as long."""
        client = self.gateway.connect("wide")
        for pattern in (".".join("a" * 50) + ".>", "*.*.*.*.*"):
            refusal = client.refusal("presence.subscribe", pattern=pattern)
            self.assertEqual((refusal["code"], refusal["data"]["path"]), (-32602, "params.pattern"))
        self.assertEqual(client.call("presence.subscribe", pattern=".".join("a" * 50))["entries"], [])

    def test_snapshot(self) -> None:
        """The answer is who is here, as presence.get shows it, and a version."""
        self.gateway.connect("a", capabilities=["chat"])
        answer = self.watcher.call("presence.subscribe")
        self.assertEqual(answer, {"version": 1, "entries": self.watcher.call("presence.get")})

    def test_pattern(self) -> None:
        """Only whom the pattern covers is shown and told of; without wildcards it is one entity."""
        for name in ("w.1", "w.2", "other"):
            self.gateway.connect(name)
        for pattern, expected in (("w.*", ["w.1", "w.2"]), ("w.1", ["w.1"]), ("x", []), (">", 4)):
            entries = self.watcher.call("presence.subscribe", pattern=pattern)["entries"]
            names = [entry["entity_id"] for entry in entries]
            self.assertEqual(len(names) if isinstance(expected, int) else names, expected)
        self.watcher.call("presence.unsubscribe")
        self.gateway.connect("x.y")
        self.gateway.connect("x")
        self.settle()
        self.assertEqual(self.diffs(), [(["x"], [], [])])

    def test_diff(self) -> None:
        """A diff says from which version to which, by which pattern, and tells whole entries and departures."""
        self.watcher.call("presence.subscribe", pattern="*")
        a = self.gateway.connect("a", metadata={"model": "x"})
        self.settle()
        (diff,) = self.watcher.received("presence.diff")
        self.assertEqual(
            diff,
            {
                "pattern": "*", "from": 1, "to": 2, "leaves": [], "updates": [],
                "joins": [self.watcher.call("presence.get", entity_id="a")],
            },
        )  # fmt: skip
        a.disconnect()
        self.settle()
        diff = self.watcher.received("presence.diff")[1]
        (left,) = diff["leaves"]
        self.assertEqual((diff["from"], diff["to"], diff["joins"], diff["updates"]), (2, 3, [], []))
        self.assertEqual(set(left), {"entity_id", "entity_type", "reason", "last_seen"})
        self.assertEqual((left["entity_id"], left["entity_type"], left["reason"]), ("a", "agent", "1000"))

    def test_gathered(self) -> None:
        """What changes in a while is told at once, each entity once, as it is by then."""
        self.watcher.call("presence.subscribe")
        a = self.gateway.connect("a")
        for status in ("busy", "away", "do_not_disturb"):
            a.call("presence.update", status=status)
        self.gateway.clock.advance(EVERY - 0.01)
        self.assertEqual(self.watcher.received("presence.diff"), [])
        self.gateway.clock.advance(0.01)
        (diff,) = self.watcher.received("presence.diff")
        self.assertEqual([entry["status"] for entry in diff["joins"]], ["do_not_disturb"])

    def test_there_and_back(self) -> None:
        """Who comes and goes in a while is not told of; who goes and comes back has changed."""
        a = self.gateway.connect("a")
        self.watcher.call("presence.subscribe")
        self.gateway.connect("b").disconnect()
        self.settle()
        self.assertEqual(self.diffs(), [])
        a.disconnect()
        a = self.gateway.connect("a")
        self.settle()
        self.assertEqual(self.diffs(), [([], [], ["a"])])

    def test_waited_for(self) -> None:
        """Who is waited for is away, and has not left."""
        a = self.gateway.connect("a")
        self.watcher.call("presence.subscribe")
        a.vanish()
        self.settle()
        self.assertEqual(self.diffs(), [([], [], ["a"])])
        self.gateway.advance(122)
        self.assertEqual(self.diffs(), [([], ["a"], [])])

    def test_unsubscribe(self) -> None:
        """By the same pattern; what was gathered is not told any more. Without a watch nothing changes."""
        for pattern in (">", "*"):
            self.watcher.call("presence.subscribe", pattern=pattern)
        self.gateway.connect("a")
        for _ in range(2):
            self.assertEqual(self.watcher.call("presence.unsubscribe", pattern="*"), {"success": True})
        self.settle()
        self.assertEqual([diff["pattern"] for diff in self.watcher.received("presence.diff")], [">"])
        self.watcher.call("presence.unsubscribe")
        self.gateway.connect("b")
        self.settle()
        self.assertEqual(len(self.watcher.received("presence.diff")), 1)
        self.assertEqual(len(self.gateway.presence.watches._watches), 0)

    def test_twice(self) -> None:
        """Subscribing again is a new snapshot, and no second watch; it comes after what was gathered."""
        self.watcher.call("presence.subscribe")
        self.gateway.connect("a")
        again = self.watcher.call("presence.subscribe")
        self.assertEqual((again["version"], len(again["entries"])), (2, 2))
        self.gateway.connect("b")
        self.settle()
        self.assertEqual(self.diffs(), [(["a"], [], []), (["b"], [], [])])

    def test_those_who_leave(self) -> None:
        """The last one who watches leaves nothing behind; the others see on."""
        other = self.gateway.connect("other")
        for client in (self.watcher, other):
            client.call("presence.subscribe")
        other.disconnect()
        self.settle()
        self.assertEqual(self.diffs(), [([], ["other"], [])])
        self.watcher.disconnect()
        self.assertEqual(len(self.gateway.presence.watches._watches), 0)
        self.assertEqual(self.gateway.presence.watches._of_session, {})

    def test_chunks(self) -> None:
        """Many changes are told by several diffs, each a version of its own."""
        self.patch(watches, "CHANGES", 3)
        view = View(self.watcher, ">")
        for n in range(8):
            self.gateway.connect(f"a{n}")
        self.settle()
        diffs = catch_up(self.watcher, [view])
        self.assertEqual([len(diff["joins"]) for diff in diffs], [3, 3, 2])
        self.assertEqual((view.version, view.entries), (4, entries_of(self.watcher.call("presence.get"))))

    def test_limit(self) -> None:
        """A session watches so many patterns; those it has may be asked for again."""
        for n in range(MAX_WATCHES):
            self.watcher.call("presence.subscribe", pattern=f"a{n}")
        self.watcher.call("presence.subscribe", pattern="a0")
        self.assertEqual(self.watcher.refusal("presence.subscribe", pattern="more")["code"], -32005)
        self.watcher.call("presence.unsubscribe", pattern="a0")
        self.watcher.call("presence.subscribe", pattern="more")

    def test_refusals(self) -> None:
        """What is no pattern is refused, and strangers watch nobody."""
        for pattern in ("", "a..b", "a*", "$agents", 1):
            self.assertEqual(self.watcher.refusal("presence.subscribe", pattern=pattern)["code"], -32602, pattern)
        self.assertEqual(self.gateway.connect().refusal("presence.subscribe")["code"], -32001)


NAMES = ("a", "a.x", "b")
PATTERNS = (">", "*", "a", "a.>", "b")


class WatchMachine(RuleBasedStateMachine):
    """Whoever applies the diffs sees what presence.get says, whatever comes, goes, breaks and speaks."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = MemoryGateway()
        self.tokens = {name: self.gateway.token(name) for name in NAMES}
        self.live: list[tuple[str, Client, str]] = []
        self.lost: list[tuple[str, str]] = []
        self.watchers = [self.gateway.connect(f"watcher.{n}") for n in range(2)]
        self.views: list[View] = []

    def teardown(self) -> None:
        self.gateway.close()

    def join(self, name: str, **declared: Any) -> Client:
        client = self.gateway.connect()
        answer = client.call("auth.authenticate", token=self.tokens[name], **declared)
        self.live.append((name, client, answer["resume_token"]))
        return client

    @rule(name=st.sampled_from(NAMES), capabilities=st.sampled_from([[], ["chat"], ["chat", "draw"]]))
    def open(self, name: str, capabilities: list[str]) -> None:
        self.join(name, capabilities=capabilities)

    @precondition(lambda self: self.live)
    @rule(data=st.data(), how=st.sampled_from(["goodbye", "vanish", "say", "say"]))
    def do(self, data: st.DataObject, how: str) -> None:
        index = data.draw(st.integers(0, len(self.live) - 1))
        name, client, secret = self.live[index]
        if how == "say":
            status = data.draw(st.sampled_from(["online", "busy", "offline"]))
            client.call("presence.update", status=status, metadata={"n": index})
            return
        del self.live[index]
        if how == "goodbye":
            client.disconnect()
        else:
            client.vanish()
            self.lost.append((name, secret))

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        name, secret = self.lost.pop(data.draw(st.integers(0, len(self.lost) - 1)))
        self.join(name).call("session.resume", resume_token=secret)

    @rule(who=st.integers(0, 1), pattern=st.sampled_from(PATTERNS))
    def watch(self, who: int, pattern: str) -> None:
        client = self.watchers[who]
        catch_up(client, [view for view in self.views if view.client is client])
        self.views = [view for view in self.views if (view.client, view.pattern) != (client, pattern)]
        view = View(client, pattern)
        self.views.append(view)
        self.agrees(view)
        # What was gathered came before the answer: the other views of this client want to know of it.
        catch_up(client, [other for other in self.views if other.client is client and other is not view])

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def unwatch(self, data: st.DataObject) -> None:
        view = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        view.client.call("presence.unsubscribe", pattern=view.pattern)

    @rule(seconds=st.sampled_from([0.1, 0.25, 1.0, 60.0, 125.0]))
    def wait(self, seconds: float) -> None:
        self.gateway.advance(seconds)

    def agrees(self, view: View) -> None:
        everyone = entries_of(self.watchers[0].call("presence.get"))
        assert view.entries == {name: entry for name, entry in everyone.items() if covers(view.pattern, name)}

    @invariant()
    def sees_what_is_true(self) -> None:
        if self.gateway.presence.watches._pending is None:
            for client in self.watchers:
                catch_up(client, [view for view in self.views if view.client is client])
            for view in self.views:
                self.agrees(view)


class WatchModelTests(SynchronousTestCase):
    """See L{WatchMachine}."""

    def test_model(self) -> None:
        """Whoever applies every diff to the snapshot holds what is true, and the versions are a chain."""
        run_state_machine_as_test(
            WatchMachine,
            settings=settings(
                max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
