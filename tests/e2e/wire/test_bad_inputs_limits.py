"""Whoever goes beyond a limit that an operator has set, and pages that the operator does not know."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.inputs.handshake import Handshake
from tests.e2e.inputs.messages import call, reduced
from tests.e2e.inputs.peer import Peer, request, text
from tests.e2e.inputs.sites import ALLOWED_HOSTS, ALLOWED_ORIGINS, SITES
from tests.e2e.inputs.watch import Watch, watched
from tests.e2e.processes import eventually

CONNECTIONS = 15
LONGEST = 100 * 1024
BURST = 300
ERRORS = 50
RATE_LIMITED, TOO_LARGE, NOT_FOUND = -32003, -32005, -32006


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A gateway with narrow limits."""
    flags = {
        "allowed-origins": ALLOWED_ORIGINS,
        "allowed-hosts": ALLOWED_HOSTS,
        "max-connections": CONNECTIONS,
        "max-connections-per-entity": 0,
        "max-connections-per-address": 5,
        "max-message-size": LONGEST,
        "calls-per-second": 100,
        "calls-burst": BURST,
        "max-errors": ERRORS,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    yield from watched(tmp_path_factory.mktemp("gateway"), *words)


@pytest.fixture(autouse=True)
def healthy(watch: Watch) -> Iterator[None]:
    """After each of the tests the gateway is as well as before."""
    yield
    eventually(lambda: figures(watch)["connections"] <= 1, "the end of all connections")
    watch.check()


def figures(watch: Watch) -> dict[str, int]:
    """What the gateway counts, of itself."""
    with watch.admin() as admin:
        counted: dict[str, int] = admin.call("gateway.getStats")["services"]["gateway"]
        admin.leave()
    return counted


@pytest.mark.parametrize("case", SITES, ids=lambda case: case.name)
def test_site(watch: Watch, case: Handshake) -> None:
    """Pages that are not listed, and names that are not the gateway's, are refused; nothing is like a listed one."""
    assert isinstance(case.sent, bytes)
    with Peer(watch.gateway.port) as peer:
        peer.send(case.sent)
        response = peer.response()
        assert response.status == case.status, response
        if response.status == 101:
            assert peer.call("rpc.ping") == "pong"
            peer.leave()
        else:
            assert b"evil" not in response.head + peer.rest()
            assert response.headers["connection"] in ("close", "close, Upgrade")


def test_refused_sites_are_told_of_once(watch: Watch) -> None:
    """A thousand pages that are refused are a few lines in the log, which name the option, and are no end of a line."""
    before = len(watch.gateway.lines)
    for _ in range(300):
        with Peer(watch.gateway.port) as peer:
            peer.send(request(b"Origin: https://evil.example\xe9" + b"a" * 3000))
            assert peer.response().status == 403

    def told() -> list[str]:
        return [line for line in watch.gateway.lines[before:] if "allowed_origins" in line]

    lines = eventually(told, "a line about it")
    assert len(lines) <= 30
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


def test_no_room(watch: Watch) -> None:
    """One connection too many is told when to come again; when somebody has gone there is room."""
    peers = [Peer(watch.gateway.port).open() for _ in range(CONNECTIONS)]
    try:
        for peer in peers:
            peer.call("auth.authenticate", token=watch.tokens[0])
        with Peer(watch.gateway.port) as late:
            late.send(request())
            response = late.response()
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert b"come back in a second" in late.rest()
        assert all(peer.call("rpc.ping") == "pong" for peer in peers)
        peers.pop().leave()
        watch.works()
    finally:
        for peer in peers:
            peer.leave()
            peer.socket.close()


def test_far_too_many(watch: Watch) -> None:
    """When even those who wait to be told that there is no room are too many, one more is let go of at once."""
    peers, crowd = [Peer(watch.gateway.port).open() for _ in range(CONNECTIONS)], []
    try:
        for peer in peers:
            peer.call("auth.authenticate", token=watch.tokens[0])
        for _ in range(80):
            crowd.append(Peer(watch.gateway.port))
        assert crowd[-1].rest() == b""
        assert all(peer.call("rpc.ping") == "pong" for peer in peers)
    finally:
        for peer in peers:
            peer.leave()
        for peer in (*peers, *crowd):
            peer.socket.close()


@pytest.fixture(autouse=True, scope="module")
def token(watch: Watch) -> str:
    """Of somebody who may do what agents do."""
    return watch.mint("limits.agent")


def test_too_many_from_one_address(watch: Watch) -> None:
    """One connection too many from an address is opened and closed with the code that says so."""
    peers = [Peer(watch.gateway.port, "127.9.9.9").open() for _ in range(5)]
    try:
        with Peer(watch.gateway.port, "127.9.9.9") as late:
            late.send(request())
            assert late.response().status == 101
            assert late.until_the_end() == 4504
        watch.works()
    finally:
        for peer in peers:
            peer.leave()
            peer.socket.close()


def test_answers_that_would_be_too_large(watch: Watch, token: str) -> None:
    """No answer is longer than a message may be: pages end before, and in a batch what has no room is an error."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token, metadata={"a": "a" * 8000})
        for _ in range(4):
            peer.call("channel.publish", channel="large", message="a" * 30_000)
        assert len(peer.call("channel.history", channel="large")["messages"]) == 3
        batch = ",".join(call("channel.history", '{"channel":"large","limit":2}', number) for number in "78")
        ((first, second),) = peer.answers(f"[{batch}]")
        assert (len(first["result"]["messages"]), first["id"], reduced(second)) == (2, 7, (TOO_LARGE, 8))
        peer.leave()


def test_lists_that_would_be_too_long(watch: Watch) -> None:
    """Lists of everybody that are longer than a message may be come in pages."""
    peers = []
    try:
        for number in range(14):
            peers.append(Peer(watch.gateway.port).open())
            peers[-1].call("auth.authenticate", token=watch.mint(f"limits.{number}"), metadata={"a": "a" * 8000})
        for method in ("agent.list", "presence.get"):
            page = peers[0].call(method)
            assert 0 < len(page["entries"]) < 14 and page["next"], page
        peers[0].call("rpc.ping")
    finally:
        for peer in peers:
            peer.leave()
            peer.socket.close()


def test_too_many_calls(watch: Watch, token: str) -> None:
    """Calls beyond the rate are told to wait, who goes on is closed, and nobody else is slowed down."""
    with Peer(watch.gateway.port).open() as other, Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        peer.send(text(call()) * 4 * BURST)
        assert other.call("rpc.ping") == "pong"
        assert peer.until_the_end() == 4013
        refusals = [message["error"] for message in peer.messages if "error" in message]
        assert 100 < len(peer.messages) - len(refusals) < 3 * BURST
        assert {refusal["code"] for refusal in refusals} == {RATE_LIMITED}
        for refusal in refusals:
            assert refusal["data"]["code"] == "rate_limited"
            assert refusal["data"]["retryable"]
            assert 0 < refusal["data"]["retry_after_ms"] <= 1000
        assert other.call("rpc.ping") == "pong"
        other.leave()


def test_batches_are_charged_by_the_entry(watch: Watch, token: str) -> None:
    """A batch costs what its entries cost, and those that are one too many are refused one by one."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        peer.send(text("[" + ",".join([call()] * 50) + "]") * (2 * BURST // 50))
        while sum(map(len, peer.messages)) < 2 * BURST:
            assert peer.read()
        kinds = {str(reduced(answer)) for batch in peer.messages for answer in batch}
        assert kinds == {str((RATE_LIMITED, 1)), str({"result": "pong", "id": 1})}
        peer.leave()


def test_waiting_helps(watch: Watch, token: str) -> None:
    """Who waits as long as the refusal says is served again."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        peer.answers(*[call()] * (BURST // 2))
        while "error" not in (answer := peer.ask("rpc.ping")):
            pass
        time.sleep(answer["error"]["data"]["retry_after_ms"] / 1000)
        assert peer.call("rpc.ping") == "pong"
        peer.leave()


FORBIDDEN = call("gateway.getStats")
MISTAKES: dict[str, str] = {
    "no JSON": "{",
    "no request": "1",
    "an unknown method": call("rpc.nosuch"),
    "bad params": call("rpc.ping", "[1]"),
    "what is forbidden": FORBIDDEN,
    "notifications of what is forbidden": '{"jsonrpc":"2.0","method":"gateway.getStats"}',
    "notifications of an unknown method": '{"jsonrpc":"2.0","method":"rpc.nosuch"}',
}


@pytest.mark.parametrize("wrong", MISTAKES.values(), ids=MISTAKES)
def test_too_many_mistakes(watch: Watch, token: str, wrong: str) -> None:
    """Who makes mistakes, and goes on, is closed with the code that says not to come back as one is."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        assert peer.answers(*[wrong] * ERRORS) is not None
        peer.send(text(wrong))
        assert peer.until_the_end() == 4509
        assert len(peer.messages) in (0, ERRORS + 1)


def test_too_many_mistakes_in_batches(watch: Watch, token: str) -> None:
    """Mistakes in a batch count one by one."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        peer.send(text("[" + ",".join([FORBIDDEN] * 26) + "]") * 2)
        assert peer.until_the_end() == 4509
        assert [len(batch) for batch in peer.messages] == [26, 26]


def test_a_stranger_that_knocks_on_and_on(watch: Watch) -> None:
    """Calls of a stranger to what needs a session are mistakes, too."""
    with Peer(watch.gateway.port).open() as peer:
        peer.send(text(call("session.getInfo")) * (ERRORS + 1))
        assert peer.until_the_end() == 4509
        assert {reduced(message) for message in peer.messages} == {(-32001, 1)}


NO_MISTAKES: dict[str, str] = {
    "what is not there": call("presence.get", '{"entity_id":"limits.none"}'),
    "answers that nobody awaits": '{"jsonrpc":"2.0","result":1,"id":"x"}',
    "calls that succeed": call(),
}


@pytest.mark.parametrize("sent", NO_MISTAKES.values(), ids=NO_MISTAKES)
def test_what_is_no_mistake(watch: Watch, token: str, sent: str) -> None:
    """What a client in order can come by is not held against it."""
    with Peer(watch.gateway.port).open() as peer:
        peer.call("auth.authenticate", token=token)
        peer.answers(*[sent] * (2 * ERRORS))
        assert peer.call("rpc.ping") == "pong"
        peer.leave()


def test_hits_are_told_on_the_systems_channel(watch: Watch, token: str) -> None:
    """Whoever is subscribed to $system hears which limit was hit, and by whom."""
    with watch.admin() as admin, Peer(watch.gateway.port).open() as peer:
        admin.call("channel.subscribe", channel="$system")
        peer.call("auth.authenticate", token=token)
        peer.send(text("{") * (ERRORS + 1))
        assert peer.until_the_end() == 4509
        event = heard(admin, lambda event: event["type"] == "limit.hit" and event["data"]["limit"] == "max_errors")
        assert event["data"].get("by", "limits.agent") == "limits.agent"
        admin.leave()


def heard(peer: Peer, wanted: Callable[[Any], bool]) -> Any:
    """The first event of a kind."""
    while True:
        event = peer.notification("event")["params"]
        if wanted(event):
            return event


def test_the_limits_are_announced(watch: Watch) -> None:
    """The welcome says what holds here."""
    with Peer(watch.gateway.port).open() as peer:
        limits = peer.welcome["limits"]
        assert limits["max_message_size"] == LONGEST
        assert limits["calls_burst"] == BURST
        assert limits["max_errors"] == ERRORS
        peer.leave()
