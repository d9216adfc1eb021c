"""What no well-behaved client sends: each is answered or closed as documented, and the gateway is as well as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from tests.e2e.inputs.calls import CALLERS, CALLS, Call
from tests.e2e.inputs.frames import CALL, FRAMES, Frames
from tests.e2e.inputs.handshake import HANDSHAKES, Handshake
from tests.e2e.inputs.messages import MESSAGES, Message, reduced
from tests.e2e.inputs.names import NAMES
from tests.e2e.inputs.peer import DEFLATE, PING, Peer, compressed, fragments, frame, request, text
from tests.e2e.inputs.syntax import TEXTS_OF_JSON
from tests.e2e.inputs.tokens import TOKENS
from tests.e2e.inputs.watch import MIB, Watch, watched
from tests.e2e.processes import ADMIN_TOKEN

PONG = "pong"
SPARE = 12 * MIB
"""By how much what an allocator keeps for later may differ."""
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "whole": text,
    "in fragments": lambda payload: fragments(payload, min(len(payload) + 1, 9)),
    "compressed": compressed,
}
"""The ways in which a message may come: the gateway reads them by different code."""


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """One gateway for all of it, with the limits that it has by default."""
    yield from watched(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="module")
def tokens(watch: Watch) -> dict[str, str]:
    """The tokens of the callers."""
    return {name: watch.mint(**params) for name, params in CALLERS.items() if params is not None}


@pytest.fixture(autouse=True)
def healthy(watch: Watch) -> Iterator[None]:
    """After each of the tests the gateway is as well as before."""
    yield
    watch.check()


def named(case: Handshake | Frames | Message | Call) -> str:
    """How a case is called in reports."""
    return case.name


@pytest.mark.parametrize("case", HANDSHAKES, ids=named)
def test_handshake(watch: Watch, case: Handshake) -> None:
    """A request becomes a connection, or is refused with its status and nothing of what it said."""
    with Peer(watch.gateway.port) as peer:
        peer.send(case.sent() if callable(case.sent) else case.sent)
        response = peer.response()
        assert response.status in (case.status if isinstance(case.status, set) else {case.status}), response
        assert case.headers.items() <= response.headers.items()
        assert "server" not in response.headers
        assert "location" not in response.headers
        if response.status == 101:
            assert peer.call("rpc.ping") == PONG
            peer.leave()
            return
        whole = response.head + peer.rest()
        assert peer.ended
        assert b"evil" not in whole and b"secret" not in whole
        if response.status is not None:
            assert response.headers["connection"] in ("close", "close, Upgrade")


@pytest.mark.parametrize("case", FRAMES, ids=named)
def test_frames(watch: Watch, case: Frames) -> None:
    """Frames are refused with the close code that says why, or understood; memory stays what it was."""
    data: bytes | Iterable[bytes] = case.sent() if callable(case.sent) else case.sent
    with Peer(watch.gateway.port) as peer:
        peer.open(*([DEFLATE] if case.deflate else []))
        if not case.stranger:
            peer.call("auth.authenticate", token=ADMIN_TOKEN)
        before = watch.memory
        watch.reset_peak()
        peer.send(data)
        if case.ends is None:
            assert peer.call("rpc.ping") == PONG
        else:
            assert peer.until_the_end() == case.ends
            assert peer.closes == 1
        grown = watch.peak - before
    answers = [message for message in peer.messages if isinstance(message, dict) and message.get("result") == PONG]
    assert case.answers in (None, len(answers))
    assert not any("-32603" in written for written in peer.texts)
    assert case.pongs is None or len(peer.pongs) <= case.pongs
    assert grown <= case.peak, f"{grown / MIB:.1f} MiB"


def test_the_newest_ping_is_answered(watch: Watch) -> None:
    """Of pings that come at once the last one has its pong, whatever becomes of the others."""
    with Peer(watch.gateway.port) as peer:
        peer.open()
        peer.send(*(frame(PING, b"%d" % number) for number in range(100)))
        while b"99" not in peer.pongs:
            assert peer.read()


def test_what_comes_behind_the_handshake(watch: Watch) -> None:
    """Frames in the same segment as the handshake are read once it is answered."""
    with Peer(watch.gateway.port) as peer:
        peer.send(request() + text(CALL))
        assert peer.response().status == 101
        assert peer.answer(1)["result"] == PONG
        assert peer.welcome is not None


def test_two_handshakes_at_once(watch: Watch) -> None:
    """What comes behind a handshake is frames, and another handshake is none."""
    with Peer(watch.gateway.port) as peer:
        peer.send(request() * 2)
        assert peer.response().status == 101
        assert peer.until_the_end() == 1002


def test_a_handshake_byte_by_byte(watch: Watch) -> None:
    """A request may come in any pieces."""
    with Peer(watch.gateway.port) as peer:
        peer.send(bytes((byte,)) for byte in request())
        assert peer.response().status == 101
        assert peer.call("rpc.ping") == PONG


def test_once_more(watch: Watch) -> None:
    """The same requests and frames, six times, take no more memory at last than at first: nothing is left of them."""
    taken = []
    for _ in range(6):
        for shake in HANDSHAKES:
            test_handshake(watch, shake)
        for case in FRAMES:
            test_frames(watch, case)
        taken.append(watch.memory)
    assert min(taken[3:]) - min(taken[:3]) < SPARE, [memory / MIB for memory in taken]


@pytest.mark.parametrize("case", (*TEXTS_OF_JSON, *MESSAGES), ids=named)
def test_message(watch: Watch, tokens: dict[str, str], case: Message) -> None:
    """A message gets the answer that is due, however it is put into frames, and the connection goes on."""
    sent = case.sent() if callable(case.sent) else case.sent
    payload = sent.encode() if isinstance(sent, str) else sent
    for way, framed in WAYS.items():
        with Peer(watch.gateway.port) as peer:
            peer.open(DEFLATE).call("auth.authenticate", token=tokens["agent"])
            peer.send(framed(payload))
            came = peer.answers()
            written = "".join(peer.texts)
            if case.answer is None:
                assert came == [], way
            else:
                assert len(came) == 1, f"{way}: {written[:1000]}"
                assert case.answer in (..., reduced(came[0])), f"{way}: {written[:1000]}"
            assert case.written in written, way
            assert case.unsaid not in written, way
            assert "-32603" not in written, way
            peer.leave()


@pytest.mark.parametrize("case", (*NAMES, *TOKENS, *CALLS), ids=named)
def test_call(watch: Watch, tokens: dict[str, str], case: Call) -> None:
    """A call has the error that is due, or the result."""
    with Peer(watch.gateway.port) as peer:
        peer.open()
        if case.caller in tokens:
            peer.call("auth.authenticate", token=tokens[case.caller])
        answer: dict[str, Any] = peer.ask(case.method, **case.params)
        if isinstance(case.answer, int):
            assert "error" in answer, answer
            assert answer["error"]["code"] == case.answer, answer
        else:
            assert "result" in answer, answer
            assert case.answer.items() <= answer["result"].items()
            if "token" in answer["result"]:
                watch.tokens.append(answer["result"]["token"])
        assert len(str(answer)) < 2000, "it tells back what was sent"
        assert case.unsaid not in str(answer)
        assert peer.call("rpc.ping") == PONG
        peer.leave()
