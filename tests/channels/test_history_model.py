"""History, recovery, resuming, patterns and idempotency together, beside a log of all that was published."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.channels import replay
from cell0gw.channels.retention import PURGE_EVERY
from cell0gw.protocol.subjects import covers, has_wildcard
from cell0gw.testing import MemoryGateway
from tests.channels.logbook import RULES, Log, Peer, Publication

PATTERNS = (">", "*", "a.>", "a.*")
RESUME_WINDOW, KEY_WINDOW = 120.0, 300.0
SLACK = 2.0
"""For how many seconds after a window it may be open or closed: someone looks once a second."""

channels = st.sampled_from(sorted(RULES))
subjects = st.sampled_from([*sorted(RULES), *PATTERNS])
peers = st.integers(0, 11)
filters = st.sampled_from([None, None, True, False])
bursts = st.lists(st.tuples(channels, st.booleans()), max_size=4)


class GatewayMachine(RuleBasedStateMachine):
    """A gateway, three clients, and a log."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = MemoryGateway(channels=tuple(RULES.values()))
        self.publisher = self.gateway.connect("publisher")
        self.peers = [Peer(name, self.gateway.token(name)) for name in ("x", "y", "z")]
        for peer in self.peers:
            peer.secret = self.connect(peer)
        self.log = Log()
        self.keys: dict[tuple[str, str], tuple[float, dict[str, Any], dict[str, Any]]] = {}
        self.in_between = False

    def teardown(self) -> None:
        self.gateway.close()

    @property
    def now(self) -> float:
        return float(self.gateway.clock.seconds())

    def content(self, even: bool) -> dict[str, Any]:
        return {"number": len(self.log), "even": even}

    def publish(self, channel: str, even: bool) -> None:
        """Without a flush: others are in the middle of something."""
        content = self.content(even)
        published: Any = self.gateway.publish(channel, content)
        publication = published.deferred.result if RULES[channel].durable else published
        made = self.log.record(channel, content, *publication.position, self.now)
        self.bring(made, self.peers)

    def bring(self, made: Publication, to: list[Peer]) -> list[Peer]:
        """It is to come to some at once, or to be made up for.

        @return: to whom it has been brought.
        """
        reached = [peer for peer in to if peer.wants(made)]
        for peer in reached:
            if peer.client is None:
                peer.owed.add(made)
            else:
                peer.expect([made])
        return [peer for peer in reached if peer.client is not None]

    def burst(self, todo: list[tuple[str, bool]]) -> None:
        """Publish in the turns that come, one in each."""
        self.in_between = bool(todo)

        def turn(left: list[tuple[str, bool]]) -> None:
            if left:
                self.publish(*left[0])
                self.gateway.clock.callLater(0, turn, left[1:])

        self.gateway.clock.callLater(0, turn, todo)

    # What clients do.

    @initialize(todo=st.lists(st.tuples(peers, subjects, filters, bursts), max_size=6))
    def begin(self, todo: list[tuple[int, str, bool | None, list[tuple[str, bool]]]]) -> None:
        for index, name, wanted, burst in todo:
            self.subscribe_to(self.peers[index % 3], name, wanted)
            for each in burst:
                self.publish(*each)

    def connect(self, peer: Peer) -> str:
        """A new connection of a peer that has none.

        @return: what opens its place should that one break.
        """
        peer.client, peer.expected = self.gateway.connect(), {}
        return str(peer.client.call("auth.authenticate", token=peer.token)["resume_token"])

    def pick(self, some: list[Any], index: int) -> Any:
        return some[index % len(some)]

    def live(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.client is not None]

    def lost(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.client is None]

    @precondition(live)
    @rule(index=peers, name=subjects, wanted=filters, how=st.sampled_from(["live", "seen", "past", "history"]),
          back=st.integers(0, 6), todo=bursts)  # fmt: skip
    def subscribe(self, index: int, name: str, wanted: bool | None, how: str, back: int, todo: Any) -> None:
        peer = self.pick(self.live(), index)
        past: dict[str, Any] = {}
        if how == "seen" and name in peer.seen:
            past["since"] = peer.seen[name]
        elif how == "past" and len(self.log.of(name)) > back:
            past["since"] = self.log.of(name)[-1 - back].position
        elif how == "history":
            past["history"] = back
        self.subscribe_to(peer, name, wanted, {} if has_wildcard(name) else past)
        self.burst(todo)

    def subscribe_to(self, peer: Peer, name: str, wanted: bool | None, past: dict[str, Any] | None = None) -> None:
        assert peer.client is not None
        params = {"channel": name} | (past or {})
        if wanted is not None:
            params["filter"] = {"field": "even", "op": "eq", "value": wanted}
        answer = peer.client.call("channel.subscribe", **params)
        since = peer.subscriptions.get(name, (None, len(self.log)))[1]
        peer.subscriptions[name] = (wanted, since)
        if not has_wildcard(name):
            self.from_the_past(peer, name, params, answer)

    def from_the_past(self, peer: Peer, name: str, params: dict[str, Any], answer: dict[str, Any]) -> None:
        numbering = [each for each in self.log.of(name) if each.epoch == answer["epoch"]]
        assert answer["offset"] == len(numbering)
        if "since" in params:
            after = [each for each in numbering if each.offset > params["since"]["offset"]]
            known = params["since"]["epoch"] == answer["epoch"]
            self.judge(answer["recovered"], known, name, after)
            peer.expect(after if answer["recovered"] else [])
        elif params.get("history"):
            oldest = self.publisher.call("channel.history", channel=name, limit=0)["oldest"]
            held = [each for each in numbering if each.offset >= oldest]
            must = self.log.held(name, self.now) if numbering else []
            assert held[len(held) - len(must) :] == must
            assert held == must or RULES[name].durable, "only the disk may have more than it must"
            peer.expect(held[-params["history"] :])

    def judge(self, recovered: bool, known: bool, name: str, missed: list[Publication]) -> None:
        """It is recovered if it can be; never if the numbering is another one."""
        assert known or not recovered
        if known and set(missed) <= set(self.log.held(name, self.now)):
            assert recovered

    @precondition(live)
    @rule(index=peers, name=subjects)
    def unsubscribe(self, index: int, name: str) -> None:
        peer = self.pick(self.live(), index)
        assert peer.client is not None
        name = self.pick(list(peer.subscriptions) or [name], index)
        peer.client.call("channel.unsubscribe", channel=name)
        peer.subscriptions.pop(name, None)

    @precondition(live)
    @rule(index=peers, goodbye=st.sampled_from([False, False, False, True]), todo=bursts)
    def leave(self, index: int, goodbye: bool, todo: list[tuple[str, bool]]) -> None:
        """What was on its way to a client whose connection breaks may have come or not."""
        peer = self.pick(self.live(), index)
        assert peer.client is not None
        for channel, even in todo:
            self.publish(channel, even)
        (peer.client.disconnect if goodbye else peer.client.vanish)()
        self.lose(peer)
        if goodbye:
            peer.forget()
            peer.secret = ""

    @precondition(lost)
    @rule(index=peers, told=st.sampled_from(["all", "all", "some", "none", "anew"]), todo=bursts)
    def come_back(self, index: int, told: str, todo: list[tuple[str, bool]]) -> None:
        """With what was seen last of channels, of some, or of none; or without resuming, as somebody new."""
        peer = self.pick(self.lost(), index)
        before, peer.secret = peer.secret, self.connect(peer)
        assert peer.client is not None
        if not before or told == "anew":
            peer.forget()
            return
        positions = peer.seen if told == "all" else dict(list(peer.seen.items())[:1]) if told == "some" else {}
        answer = peer.client.call("session.resume", resume_token=before, positions=positions)
        away = self.now - peer.lost_at
        assert answer["resumed"] or away >= RESUME_WINDOW
        assert not answer["resumed"] or away <= RESUME_WINDOW + SLACK
        if answer["resumed"]:
            for channel in RULES:
                self.resumed(peer, channel, positions.get(channel), answer["channels"])
            peer.owed = set()
        else:
            peer.forget()
        self.burst(todo)

    def resumed(self, peer: Peer, channel: str, position: dict[str, Any] | None, outcomes: dict[str, Any]) -> None:
        """All that was missed of a channel comes, or it is said that it may not."""
        covering = {name: since for name, (_, since) in peer.subscriptions.items() if covers(name, channel)}
        if not covering:
            assert channel not in outcomes
            return
        there = self.gateway.channels.broker.get(channel)
        epoch = None if there is None else there.epoch
        since = min(covering.values())
        missed = self.log.of(channel, since) if position is None else self.log.after(channel, position)
        recovered = channel not in outcomes or outcomes[channel]["recovered"]
        if channel in outcomes and (position is not None or not RULES[channel].durable):
            # Where a subscription began is only known of what memory holds.
            self.judge(recovered, position is None or position["epoch"] == epoch, channel, missed)
        told = not recovered or any(not outcomes[name]["recovered"] for name in covering if name in outcomes)
        hole = [each for each in missed if each in peer.owed - peer.got and each.epoch != epoch]
        assert told or not hole, "a silent hole"
        peer.expect([each for each in missed if each.epoch == epoch and recovered])

    @precondition(live)
    @rule(index=peers, key=st.sampled_from("kl"), again=st.booleans(), channel=channels, even=st.booleans(),
          exclude=st.booleans())  # fmt: skip
    def publish_with_key(self, index: int, key: str, again: bool, channel: str, even: bool, exclude: bool) -> None:
        peer = self.pick(self.live(), index)
        assert peer.client is not None
        params = {"channel": channel, "message": self.content(even), "exclude_self": exclude, "idempotency_key": key}
        made_at, earlier, first = self.keys.get((peer.entity_id, key), (-1e9, {}, {}))
        known = self.now < made_at + KEY_WINDOW
        may_be = self.now < made_at + KEY_WINDOW + (SLACK if earlier.get("channel") != "d" else PURGE_EVERY + SLACK)
        params = earlier if again and earlier else params
        answer = peer.client.request("channel.publish", params)
        if params != earlier and (known or "error" in answer):
            assert may_be and answer["error"]["code"] == -32007
            return
        answer = answer["result"]
        if answer.pop("replayed", False):
            assert params == earlier and may_be
            assert answer == first or (not known and answer == first | {"recipients": 0})
            if not known:  # the disk knew it still; from now on memory does again
                self.keys[peer.entity_id, key] = (self.now, params, answer)
            return
        assert not known
        self.keys[peer.entity_id, key] = (self.now, params, answer)
        place = (answer["offset"], answer["epoch"])
        made = self.log.record(params["channel"], params["message"], *place, self.now)
        reached = self.bring(made, [each for each in self.peers if not (params["exclude_self"] and each is peer)])
        assert answer["recipients"] == len(reached)

    @rule(todo=bursts)
    def publish_some(self, todo: list[tuple[str, bool]]) -> None:
        for channel, even in todo:
            self.publish(channel, even)

    @rule(seconds=st.sampled_from([1.0, 30.0, 70.0, 125.0, 310.0]), forget=st.booleans())
    def wait(self, seconds: float, forget: bool) -> None:
        """Memory may forget meanwhile what the disk has."""
        self.gateway.advance(seconds, step=1.0)
        channel = self.gateway.channels.broker.get("d")
        if channel is not None and forget:
            channel.history.clear()

    # What comes of it.

    def lose(self, peer: Peer) -> None:
        """The connection is gone; what came by it is a beginning of what was to come."""
        for channel, came in peer.came(self.log).items():
            assert came == peer.expected.get(channel, [])[: len(came)], f"{peer.entity_id} on {channel}"
        peer.lose(self.now)

    def receive(self, peer: Peer) -> None:
        assert peer.client is not None
        peer.client.flush()
        if peer.client.close_code is not None:
            assert (peer.client.close_code, self.in_between) == (4010, True)
            self.lose(peer)
            return
        for channel, came in peer.came(self.log).items():
            assert came == peer.expected.get(channel, []), f"{peer.entity_id} on {channel}"

    @invariant()
    def all_got_what_they_should(self) -> None:
        for peer in self.peers:
            if peer.client is not None:
                self.receive(peer)
        self.in_between = False


class GatewayModelTests(SynchronousTestCase):
    """See L{GatewayMachine}."""

    def test_model(self) -> None:
        """Whatever happens, a client receives what it is subscribed to, in order and once, or is told of a hole."""
        self.patch(replay, "SLICE", 2)
        run_state_machine_as_test(
            GatewayMachine,
            settings=settings(
                max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
