"""What only shows with two of them, or when it is done twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.inputs.messages import call, reduced
from tests.e2e.inputs.peer import Peer, goodbye, text
from tests.e2e.inputs.watch import Watch, watched
from tests.e2e.processes import ADMIN_TOKEN, eventually

INVALID_PARAMS, NOT_AUTHENTICATED, FORBIDDEN, TIMED_OUT = -32602, -32001, -32002, -32004
TOO_LARGE, NOT_FOUND, CONFLICT = -32005, -32006, -32007


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A gateway with the limits that it has by default."""
    yield from watched(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(autouse=True)
def healthy(watch: Watch) -> Iterator[None]:
    """After each of the tests the gateway is as well as before."""
    yield
    watch.check()


def code(answer: dict[str, Any]) -> int | None:
    """The number of an error; None: it is none."""
    return answer.get("error", {}).get("code")


def test_wrong_tokens_are_told_nothing(watch: Watch) -> None:
    """Whatever is wrong with a token, it is refused in the same words, and the fifth ends the connection."""
    expired = watch.mint("together.expired", expires_in_hours=1 / 3600)
    revoked = watch.mint("together.revoked")
    with watch.admin() as admin:
        admin.call("auth.revokeToken", entity_id="together.revoked")
        admin.leave()
    time.sleep(1.2)
    watch.tokens += [ADMIN_TOKEN[:-1] + "1", "cell0_" + "W" * 43 + "_1"]
    wrong = [
        "", " ", "x", "\x00", ADMIN_TOKEN + "\x00", ADMIN_TOKEN + " ", " " + ADMIN_TOKEN, ADMIN_TOKEN.upper(),
        ADMIN_TOKEN[:-1], ADMIN_TOKEN[:-1] + "1", "cell0_" + "W" * 43 + "_1", "cell0__", "Bearer " + ADMIN_TOKEN,
        "a" * 60_000, "\u00e9" * 5000,
        "*", "%", "' OR 1=1 --", "null", "../admin.token", "$(cat admin.token)", expired, revoked,
    ]  # fmt: skip
    answers = []
    while wrong:
        with Peer(watch.gateway.port).open() as peer:
            five, wrong = wrong[:5], wrong[5:]
            for token in five:
                answers.append(peer.ask("auth.authenticate", token=token))
            assert not any(token in str(answers) for token in five if len(token) > 4)
            if len(five) == 5:
                assert peer.until_the_end() == 4500
    assert all(answer["error"] == answers[0]["error"] for answer in answers)
    assert code(answers[0]) == NOT_AUTHENTICATED


def test_a_connection_is_one_entitys(watch: Watch) -> None:
    """Authenticating again changes nothing, as whomever: not the session, not its permissions."""
    one, other = watch.mint("together.one"), watch.mint("together.other", permissions=["*"])
    with Peer(watch.gateway.port).open() as peer:
        session = peer.call("auth.authenticate", token=one)
        assert peer.call("auth.authenticate", token=one)["session_id"] == session["session_id"]
        for params in (
            {"token": other},
            {"token": one, "entity_id": "together.other"},
            {"token": one, "entity_type": "system"},
            {"token": ADMIN_TOKEN},
        ):
            assert code(peer.ask("auth.authenticate", **params)) == FORBIDDEN
        assert code(peer.ask("auth.refresh", token=other)) == FORBIDDEN
        info = peer.call("session.getInfo")
        assert (info["session_id"], info["entity_id"]) == (session["session_id"], "together.one")
        assert info["permissions"] == session["permissions"]
        peer.leave()


def test_the_old_connection_goes(watch: Watch) -> None:
    """Of two connections of an entity the old one may go, in whatever way: presence and messages are the new one's."""
    token = watch.mint("together.twice")
    for way in (lambda peer: peer.leave(), lambda peer: peer.socket.close(), lambda peer: peer.send(b"\xff" * 10)):
        with Peer(watch.gateway.port).open() as old, Peer(watch.gateway.port).open() as new:
            for peer in (old, new):
                peer.call("auth.authenticate", token=token)
            newest = new.call("session.getInfo")["session_id"]
            way(old)
            with watch.admin() as other:
                for _ in range(3):
                    entry = other.call("presence.get", entity_id="together.twice")
                    assert (entry["status"], entry["session_id"]) == ("online", newest)
                    assert other.call("agent.send", agent_id="together.twice", message=1)["status"] == "sent"
                    assert new.notification("agent.message")["params"]["message"] == 1
                other.leave()
            new.leave()


def test_an_id_twice_at_once(watch: Watch) -> None:
    """A second call with the id of one that is running is refused, and the first goes on; other ids are free."""
    with watch.session("together.caller") as caller, watch.session("together.worker") as worker:
        params = '{"agent_id":"together.worker","message":"work"}'
        caller.send(text(call("agent.call", params)))
        asked = worker.notification("agent.invoke")
        assert [reduced(m) for m in caller.answers(call("agent.call", params), call("rpc.ping", request_id="2"))] == [
            (CONFLICT, 1),
            {"result": "pong", "id": 2},
        ]
        worker.send(text(json.dumps({"jsonrpc": "2.0", "result": "done", "id": asked["id"]})))
        while caller.messages[-1] != {"jsonrpc": "2.0", "result": "done", "id": 1}:
            assert caller.read()
        caller.leave()
        worker.leave()


def test_an_answer_that_comes_too_late(watch: Watch) -> None:
    """An agent that does not answer is a timeout to its caller; what it answers afterwards, and twice, is dropped."""
    with watch.session("together.caller") as caller, watch.session("together.sleeper") as worker:
        caller.send(text(call("agent.call", '{"agent_id":"together.sleeper","message":1,"timeout_ms":100}')))
        assert code(caller.answer(1)) == TIMED_OUT
        asked = worker.notification("agent.invoke")
        late = json.dumps({"jsonrpc": "2.0", "result": "late", "id": asked["id"]})
        worker.answers(late, late, late.replace("result", "error"))
        assert caller.answers() == []
        caller.leave()
        worker.leave()


def test_an_answer_by_another(watch: Watch) -> None:
    """Only who was asked can answer: what others answer with the same id is dropped."""
    with (
        watch.session("together.caller") as caller,
        watch.session("together.right") as right,
        watch.session("together.wrong") as wrong,
    ):
        caller.send(text(call("agent.call", '{"agent_id":"together.right","message":1}')))
        asked = right.notification("agent.invoke")["id"]
        wrong.answers(json.dumps({"jsonrpc": "2.0", "result": "forged", "id": asked}))
        assert wrong.call("agent.progress", call_id=asked, data="forged") == {"success": False}
        right.send(text(json.dumps({"jsonrpc": "2.0", "result": "right", "id": asked})))
        assert caller.answer(1)["result"] == "right"
        assert caller.messages == []
        for peer in (caller, right, wrong):
            peer.leave()


def test_subscribing_twice(watch: Watch) -> None:
    """Who subscribes twice, and by a pattern too, gets everything once; unsubscribing twice is fine."""
    with watch.session("together.reader") as reader:
        for channel in ("together.news", "together.news", "together.*"):
            reader.call("channel.subscribe", channel=channel)
        assert reader.call("channel.publish", channel="together.news", message=1)["recipients"] == 1
        reader.notification("channel.message")
        for channel in ("together.news", "together.news", "together.*"):
            reader.call("channel.unsubscribe", channel=channel)
        assert reader.call("channel.publish", channel="together.news", message=1)["recipients"] == 0
        assert reader.messages == []
        reader.leave()


def test_too_many_subscriptions(watch: Watch) -> None:
    """One subscription more than there may be is refused, and those that are there stay."""
    with watch.session("together.greedy") as peer:
        for number in range(1000):
            peer.send(text(call("channel.subscribe", f'["together.many.{number}"]', request_id=str(number))))
        assert "result" in peer.answer(999)
        assert code(peer.ask("channel.subscribe", channel="together.many.1000")) == TOO_LARGE
        assert code(peer.ask("channel.subscribe", channel="together.many.>")) == TOO_LARGE
        assert peer.ask("channel.subscribe", channel="together.many.7").get("result")
        assert len(peer.call("session.getInfo")["subscriptions"]) == 1000
        peer.leave()


def test_what_may_not_be_published_is_nowhere(watch: Watch) -> None:
    """A publication that is refused reaches nobody, is in no history, and makes no channel."""
    with (
        watch.admin() as admin,
        watch.session("together.narrow", permissions=["channel.publish:together.mine.>"]) as peer,
    ):
        admin.call("channel.subscribe", channel=">")
        for channel in ("together.yours", "together.mine", "together.mine2.a"):
            assert code(peer.ask("channel.publish", channel=channel, message="refused")) == FORBIDDEN
            assert code(admin.ask("channel.history", channel=channel)) == NOT_FOUND
        peer.call("channel.publish", channel="together.mine.a", message="published")
        assert admin.notification("channel.message")["params"]["message"] == "published"
        assert "refused" not in str(admin.messages)
        listed = [entry["channel"] for entry in admin.call("channel.list", pattern="together.>")["channels"]]
        assert "together.yours" not in listed
        for one in (admin, peer):
            one.leave()


def test_publishing_twice_by_one_key(watch: Watch) -> None:
    """A key makes one message of many calls, at once and one after the other, on one connection and on two."""
    token = watch.mint("together.retrier")
    with watch.admin() as reader, Peer(watch.gateway.port).open() as one, Peer(watch.gateway.port).open() as two:
        reader.call("channel.subscribe", channel="together.once")
        params = {"channel": "together.once", "message": "m", "idempotency_key": "key"}
        for peer in (one, two):
            peer.call("auth.authenticate", token=token)
        for peer in (one, two):
            peer.send(*(text(call("channel.publish", json.dumps(params), request_id=str(n))) for n in range(20)))
        results = [peer.answer(n)["result"] for peer in (one, two) for n in range(20)]
        assert {(result["offset"], result["epoch"]) for result in results} == {(1, results[0]["epoch"])}
        assert code(one.ask("channel.publish", **params | {"message": "other"})) == CONFLICT
        assert reader.call("channel.history", channel="together.once")["newest"] == 1
        reader.notification("channel.message")
        assert not [m for m in reader.messages if m.get("method") == "channel.message"]
        for peer in (reader, one, two):
            peer.leave()


def test_positions_that_were_never_there(watch: Watch) -> None:
    """A position in the future, or of another epoch, is no position: nothing is recovered, and nothing comes."""
    with watch.session("together.liar") as peer:
        for number in range(5):
            at = peer.call("channel.publish", channel="together.past", message=number)
        for since in (
            {"offset": at["offset"] + 1, "epoch": at["epoch"]},
            {"offset": 2**53 - 1, "epoch": at["epoch"]},
            {"offset": 1, "epoch": at["epoch"] + "x"},
            {"offset": 1, "epoch": ""},
        ):
            subscribed = peer.call("channel.subscribe", channel="together.past", since=since)
            assert (subscribed["recovered"], subscribed["offset"]) == (False, 5)
            peer.call("channel.unsubscribe", channel="together.past")
            assert code(peer.ask("channel.history", channel="together.past", since=since)) in (None, CONFLICT)
        assert peer.messages == []
        assert peer.call("channel.history", channel="together.past", limit=0)["messages"] == []
        page = peer.call("channel.history", channel="together.past", limit=10**9)
        assert (len(page["messages"]), page["limit"]) == (5, 1000)
        peer.leave()


def test_a_message_to_oneself(watch: Watch) -> None:
    """A message to oneself comes once, and says who sent it: that is nothing one could choose."""
    with watch.session("together.lonely") as peer:
        sent = peer.call("agent.send", agent_id="together.lonely", message={"from": "admin"})
        message = peer.notification("agent.message")["params"]
        assert (message["from"], message["message_id"]) == ("together.lonely", sent["message_id"])
        assert peer.answers() == []
        peer.leave()


def test_others_mail_is_nobodys_business(watch: Watch) -> None:
    """Who neither sent a message nor got it can't tell it from one that never was, nor acknowledge it."""
    watch.mint("together.absent")
    with watch.session("together.sender") as sender, watch.session("together.curious") as curious:
        sent = sender.call("agent.send", agent_id="together.absent", message="private", receipts=True)
        message_id = sent["message_id"]
        for method, params in (("agent.getDelivery", {}), ("agent.ack", {"status": "received"})):
            theirs = curious.ask(method, message_id=message_id, **params)
            nobodys = curious.ask(method, message_id="msg_none", **params)
            assert code(theirs) == code(nobodys) == NOT_FOUND
            assert theirs["error"]["data"] == nobodys["error"]["data"]
        assert sender.call("agent.getDelivery", message_id=message_id)["status"] == "queued"
        for peer in (sender, curious):
            peer.leave()


def test_goodbye_in_the_middle(watch: Watch) -> None:
    """Whoever goes with calls on their way, half a frame sent and its answers unread leaves nothing behind."""
    token = watch.mint("together.hasty")
    for number in range(20):
        with Peer(watch.gateway.port).open() as peer:
            peer.call("auth.authenticate", token=token)
            peer.send(
                text(call("agent.call", '{"agent_id":"together.hasty","message":1}')),
                text(call("auth.generateToken", '{"entity_id":"together.hasty"}')),
                text(call("channel.subscribe", '{"channel":"together.rush"}')),
                text(call("channel.publish", '{"channel":"together.rush","message":1}')) * 50,
                (text(call())[: number + 1], goodbye(), b"")[number % 3],
            )
    with watch.admin() as admin:

        def gone() -> bool:
            counts = admin.call("gateway.getStats")["services"]
            return counts["gateway"]["connections"] == 1 and counts["agent"]["calls_inflight"] == 0

        eventually(gone, "the end of all of it")
        admin.leave()
