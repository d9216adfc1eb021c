"""Attacks that others have suffered, on a running gateway: on tokens, identities, authority and secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import StartGateway
from tests.e2e.inputs.messages import call, reduced
from tests.e2e.inputs.peer import Peer, request, text
from tests.e2e.inputs.watch import Watch, watched
from tests.e2e.processes import ADMIN_TOKEN, TWISTD, environment, run_to_end

INVALID_PARAMS, NOT_AUTHENTICATED, FORBIDDEN, RATE_LIMITED, NOT_FOUND = -32602, -32001, -32002, -32003, -32006
OPEN = {"rpc.ping", "rpc.echo", "rpc.getServerInfo", "rpc.listMethods", "auth.authenticate", "auth.redeem"}
ANONYMOUS_READS = {"rpc.discover", "presence.get", "agent.list"}
WRONG = "cell0_" + "W" * 43 + "_1770892200"


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    """A gateway with the limits that it has by default."""
    for watch in watched(tmp_path_factory.mktemp("gateway")):
        watch.tokens.append(WRONG)
        yield watch


@pytest.fixture(autouse=True)
def healthy(watch: Watch) -> Iterator[None]:
    """After each of the tests the gateway is as well as before."""
    yield
    watch.check()


def code(answer: dict[str, Any]) -> int | None:
    """The number of an error; None: it is none."""
    return answer.get("error", {}).get("code")


def guess(watch: Watch, source: str, times: int, *lines: bytes, **params: Any) -> list[int | None]:
    """Send wrong tokens from an address, four on a connection.

    @return: what each was answered with.
    """
    codes: list[int | None] = []
    while len(codes) < times:
        with Peer(watch.gateway.port, source).open(*lines) as peer:
            for _ in range(min(4, times - len(codes))):
                codes.append(code(peer.ask("auth.authenticate", token=WRONG, **params)))
            peer.leave()
    return codes


class TestPages:
    """Another site's page, in the browser of somebody who runs a gateway."""

    ORIGINS = (
        "https://evil.example",
        "null",
        "file://",
        "http://localhost",
        "http://localhost:18801",
        "http://127.0.0.1:18801",
    )

    @pytest.mark.parametrize("origin", ORIGINS)
    def test_a_page_proves_nothing(self, watch: Watch, origin: str) -> None:
        """Whatever it is from, loopback included, a page without a token can do what needs none and read nothing."""
        with Peer(watch.gateway.port).open(
            b"Origin: " + origin.encode(), b"Cookie: token=" + ADMIN_TOKEN.encode()
        ) as peer:
            for method in [*sorted(ANONYMOUS_READS), "session.getInfo", "gateway.getStats"]:
                assert code(peer.ask(method)) == NOT_AUTHENTICATED, method
            assert peer.call("rpc.ping") == "pong"
            assert peer.call("rpc.echo", message=1) == 1
            assert peer.call("rpc.getServerInfo")["name"]
            assert peer.call("rpc.listMethods")
            peer.call("auth.authenticate", token=ADMIN_TOKEN)
            for method in ANONYMOUS_READS:
                peer.call(method)
            peer.leave()

    def test_no_page(self, watch: Watch) -> None:
        """Who is no page may read, but sees of others no more than that they are there and what they can do."""
        with watch.session("threats.seen") as seen, Peer(watch.gateway.port).open() as stranger:
            seen.call("presence.update", status="busy", activity="private", status_message="private", metadata={"p": 1})
            shown = {"entity_id", "entity_type", "status", "capabilities"}
            for entries in (stranger.call("presence.get"), stranger.call("agent.list")):
                assert "threats.seen" in {entry["entity_id"] for entry in entries}
                assert all(set(entry) == shown for entry in entries)
            assert set(stranger.call("presence.get", entity_id="threats.seen")) == shown
            for peer in (seen, stranger):
                peer.leave()

    def test_a_page_that_is_listed(self, start_gateway: StartGateway) -> None:
        """A page of a site that the operator has listed may read what strangers may."""
        gateway = start_gateway("--allowed-origins", "https://good.example")
        with Peer(gateway.port).open(b"Origin: https://good.example") as peer:
            assert peer.call("agent.list") == []
            peer.leave()


class TestGuessing:
    """Guessing tokens, and locking others out by it."""

    def test_guesses_of_one_address(self, watch: Watch) -> None:
        """After ten wrong tokens from an address, loopback or not, none is told right from wrong; valid ones are."""
        token = watch.mint("threats.neighbour")
        with Peer(watch.gateway.port, "127.7.0.1").open() as before:
            before.call("auth.authenticate", token=token)
            codes = guess(watch, "127.7.0.1", 14)
            assert codes[:10] == [NOT_AUTHENTICATED] * 10
            assert RATE_LIMITED in codes[10:]
            assert before.call("rpc.ping") == "pong"
            before.leave()
        for _ in range(3):
            with Peer(watch.gateway.port, "127.7.0.1").open() as peer:
                refused = peer.ask("auth.authenticate", token=WRONG)
                if code(refused) == RATE_LIMITED:
                    assert 0 < refused["error"]["data"]["retry_after_ms"] <= 6001
                peer.call("auth.authenticate", token=token)
                peer.leave()
        assert guess(watch, "127.7.0.2", 1) == [NOT_AUTHENTICATED]

    OTHER_FIELDS: dict[str, Any] = {
        "entity_id": "admin",
        "entity_type": "system",
        "capabilities": ["ack"],
        "metadata": {"token": ADMIN_TOKEN},
        "max_inflight": 1,
    }

    @pytest.mark.parametrize("name", OTHER_FIELDS)
    def test_other_fields_help_nothing(self, watch: Watch, name: str) -> None:
        """A wrong token is wrong, and counted, whatever stands beside it."""
        source = f"127.7.1.{list(self.OTHER_FIELDS).index(name) + 1}"
        codes = guess(watch, source, 14, **{name: self.OTHER_FIELDS[name]})
        assert codes[:10] == [NOT_AUTHENTICATED] * 10
        assert RATE_LIMITED in codes[10:]

    def test_what_a_success_is_worth(self, watch: Watch) -> None:
        """A valid token between them does not make wrong ones forgotten, and wrong ones at auth.refresh count."""
        token = watch.mint("threats.insider")
        assert guess(watch, "127.7.2.1", 6) == [NOT_AUTHENTICATED] * 6
        with Peer(watch.gateway.port, "127.7.2.1").open() as peer:
            peer.call("auth.authenticate", token=token)
            codes = [code(peer.ask("auth.refresh", token=WRONG)) for _ in range(4)]
            peer.leave()
        assert codes == [NOT_AUTHENTICATED] * 4
        assert RATE_LIMITED in guess(watch, "127.7.2.1", 4)

    def test_no_token_is_no_guess(self, watch: Watch) -> None:
        """Who connects a hundred times without a token has guessed nothing, and is not locked out."""
        for _ in range(100):
            with Peer(watch.gateway.port, "127.7.3.1").open() as peer:
                peer.ask("session.getInfo")
                peer.leave()
        assert guess(watch, "127.7.3.1", 1) == [NOT_AUTHENTICATED]

    def test_a_header_is_no_address(self, watch: Watch) -> None:
        """Who writes another address into each request is still one address, unless it is a proxy that is trusted."""
        headers = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP")
        codes = []
        for number in range(4):
            lines = [f"{name}: 192.0.2.{number}".encode() for name in headers]
            codes += guess(watch, "127.7.4.1", 4, *lines)
        assert codes[:10] == [NOT_AUTHENTICATED] * 10
        assert RATE_LIMITED in codes[10:]

    def test_behind_a_proxy(self, start_gateway: StartGateway) -> None:
        """Of a trusted proxy's list the last address that is not trusted counts, and what stands left of it nothing."""
        gateway = start_gateway("--trusted-proxies", "127.8.0.0/16", "--max-connections-per-address", "1")

        def peer(forwarded: str, source: str = "127.8.0.1") -> int | None:
            """@return: what a connection is closed with; None: it is open still."""
            one = Peer(gateway.port, source)
            opened.append(one)
            one.send(request(b"X-Forwarded-For: " + forwarded.encode()))
            assert one.response().status == 101
            assert one.read()
            return one.close_code

        opened: list[Peer] = []
        assert peer("192.0.2.1") is None
        assert peer("192.0.2.1") == 4504
        assert peer("198.51.100.7, 192.0.2.1") == 4504
        assert peer("192.0.2.1, 127.8.0.9") == 4504
        assert peer("198.51.100.8, nonsense, 192.0.2.1") == 4504
        assert peer("192.0.2.1", source="127.8.0.2") == 4504
        assert peer("192.0.2.2") is None
        assert peer("::ffff:192.0.2.2") == 4504
        assert peer("192.0.2.3", source="127.9.0.1") is None
        assert peer("192.0.2.4", source="127.9.0.1") == 4504, "it is no proxy that is trusted"
        for one in opened:
            one.leave()
            one.socket.close()


# Each scope, and those among them that it holds.
SCOPES: dict[str, set[str]] = {
    "*": {
        "*", "channel.*", "channel.publish", "channel.publish:>", "channel.publish:a.>", "channel.publish:a.*",
        "channel.publish:a.b", "channel.subscribe", "channel.subscribe:$system", "agent.*", "agent.send:a",
        "gateway.getStats", "auth.*",
    },
    "channel.*": {
        "channel.*", "channel.publish", "channel.publish:>", "channel.publish:a.>", "channel.publish:a.*",
        "channel.publish:a.b", "channel.subscribe",
    },
    "channel.publish": {
        "channel.publish", "channel.publish:>", "channel.publish:a.>", "channel.publish:a.*", "channel.publish:a.b",
    },
    "channel.publish:>": {"channel.publish:>", "channel.publish:a.>", "channel.publish:a.*", "channel.publish:a.b"},
    "channel.publish:a.>": {"channel.publish:a.>", "channel.publish:a.*", "channel.publish:a.b"},
    "channel.publish:a.*": {"channel.publish:a.*", "channel.publish:a.b"},
    "channel.publish:a.b": {"channel.publish:a.b"},
    "channel.subscribe": {"channel.subscribe"},
    "channel.subscribe:$system": {"channel.subscribe:$system"},
    "agent.*": {"agent.*", "agent.send:a"},
    "agent.send:a": {"agent.send:a"},
    "gateway.getStats": {"gateway.getStats"},
    "auth.*": {"auth.*"},
}  # fmt: skip


class TestAuthority:
    """Getting more than one was given."""

    @pytest.mark.parametrize("held", SCOPES)
    def test_minting(self, watch: Watch, held: str) -> None:
        """Of every scope a token mints what it holds and nothing else, alone and beside what it holds."""
        with watch.session("threats.minter", permissions=[held, "auth.generateToken"]) as minter:
            for wanted in SCOPES:
                for wish in ([wanted], [held, wanted], [wanted, held, wanted]):
                    answer = minter.ask("auth.generateToken", entity_id="threats.minter", permissions=wish)
                    if wanted in SCOPES[held]:
                        watch.tokens.append(answer["result"]["token"])
                    else:
                        assert code(answer) == FORBIDDEN, f"{held} minted {wish}"
            minter.leave()

    def test_no_method_without_a_token(self, watch: Watch) -> None:
        """Every method there is, but for those that are open, is refused to strangers; so is each in a batch."""
        with Peer(watch.gateway.port).open() as stranger:
            methods = set(stranger.call("rpc.listMethods"))
            stranger.leave()
        assert methods >= OPEN | ANONYMOUS_READS
        closed = sorted(methods - OPEN - ANONYMOUS_READS)
        assert len(closed) > 20
        for some in (closed[:20], closed[20:]):
            with Peer(watch.gateway.port).open() as stranger:
                batch = [json.loads(call(method, request_id=str(n))) for n, method in enumerate(some)]
                (answers,) = stranger.answers(json.dumps(batch))
                assert [reduced(answer) for answer in answers] == [(NOT_AUTHENTICATED, n) for n in range(len(some))]
                for method in some:
                    assert code(stranger.ask(method, **{"token": ADMIN_TOKEN})) == NOT_AUTHENTICATED
                stranger.leave()

    def test_no_effect_without_a_token(self, watch: Watch) -> None:
        """What a stranger sends as a notification, alone and in a batch, does nothing."""
        with watch.admin() as admin, Peer(watch.gateway.port).open() as stranger:
            admin.call("channel.subscribe", channel="threats.>")
            for method, params in (
                ("channel.publish", {"channel": "threats.a", "message": "forged"}),
                ("agent.send", {"agent_id": "admin", "message": "forged"}),
                ("auth.revokeToken", {"entity_id": "threats.minter"}),
            ):
                notification = json.dumps({"jsonrpc": "2.0", "method": method, "params": params})
                assert stranger.answers(notification, f"[{notification}]") == []
            assert admin.answers() == []
            for peer in (admin, stranger):
                peer.leave()

    def test_no_permission_no_method(self, watch: Watch) -> None:
        """A session without permissions is refused every method that needs one, whatever its params."""
        with watch.session("threats.powerless", permissions=[]) as peer:
            for method in (
                "auth.generateToken", "auth.revokeToken", "auth.listTokens", "channel.subscribe", "channel.publish",
                "channel.history", "channel.list", "agent.send", "agent.call", "gateway.getStats", "gateway.explain",
                "gateway.getDeadLetters", "auth.createInvite", "auth.listInvites", "auth.revokeInvite",
            ):  # fmt: skip
                assert code(peer.ask(method)) == FORBIDDEN, method
                assert code(peer.ask(method, nonsense=1)) == FORBIDDEN, method
            peer.leave()

    def test_revoked_means_now(self, watch: Watch) -> None:
        """Who is revoked is closed at once, with what it had minted, and gets nothing that is published afterwards."""
        token = watch.mint("threats.parent", permissions=["channel.*", "auth.generateToken"])
        with (
            watch.admin() as admin,
            Peer(watch.gateway.port).open() as parent,
            Peer(watch.gateway.port).open() as child,
        ):
            parent.call("auth.authenticate", token=token)
            minted = parent.call("auth.generateToken", entity_id="threats.parent")["token"]
            watch.tokens.append(minted)
            child.call("auth.authenticate", token=minted)
            for peer in (parent, child):
                peer.call("channel.subscribe", channel="threats.secret")
            assert admin.call("auth.revokeToken", entity_id="threats.parent")["sessions_closed"] == 2
            assert admin.call("channel.publish", channel="threats.secret", message="afterwards")["recipients"] == 0
            for peer in (parent, child):
                peer.send(text(call("channel.publish", '{"channel":"threats.secret","message":"too late"}')) * 5)
                assert peer.until_the_end() == 4507
                assert peer.messages == []
            assert admin.call("channel.history", channel="threats.secret")["newest"] == 1
            for revoked in (token, minted):
                with Peer(watch.gateway.port).open() as again:
                    assert code(again.ask("auth.authenticate", token=revoked)) == NOT_AUTHENTICATED
                    again.leave()
            admin.leave()

    def test_one_that_revokes_itself(self, watch: Watch) -> None:
        """What stands in a batch behind the revocation of its own sender is not done any more."""
        permissions = ["auth.revokeToken", "channel.*"]
        with watch.admin() as admin, watch.session("threats.suicide", permissions=permissions) as peer:
            admin.call("channel.subscribe", channel="threats.last")
            revoke = call("auth.revokeToken", '{"entity_id":"threats.suicide"}')
            publish = call("channel.publish", '{"channel":"threats.last","message":"after the end"}', request_id="2")
            peer.send(text(f"[{revoke},{publish}]"), text(publish))
            assert peer.until_the_end() == 4507
            assert [m for m in admin.answers() if m.get("method") == "channel.message"] == []
            admin.leave()

    def test_of_two_names_the_one_that_counts_is_judged(self, watch: Watch) -> None:
        """Where a parameter is there twice, what is judged is what is done."""
        permissions = ["channel.publish:threats.mine", "channel.subscribe:threats.mine"]
        with watch.admin() as admin, watch.session("threats.twofold", permissions=permissions) as peer:
            admin.call("channel.subscribe", channel="threats.*")
            both = '{"channel":"threats.%s","channel":"threats.%s","message":1}'
            answers = peer.answers(
                call("channel.publish", both % ("mine", "yours")),
                call("channel.publish", both % ("yours", "mine"), "2"),
            )
            assert reduced(answers[0]) == (FORBIDDEN, 1)
            assert answers[1]["result"]["success"]
            assert admin.notification("channel.message")["params"]["channel"] == "threats.mine"
            assert admin.answers() == []
            for one in (admin, peer):
                one.leave()

    def test_which_token_counts(self, watch: Watch) -> None:
        """Of two tokens in one request the last one counts, for good and for bad."""
        with Peer(watch.gateway.port).open() as peer:
            for first, second, wanted in ((ADMIN_TOKEN, WRONG, NOT_AUTHENTICATED), (WRONG, ADMIN_TOKEN, None)):
                params = f'{{"token":"{first}","token":"{second}"}}'
                peer.send(text(call("auth.authenticate", params)))
                assert code(peer.answer(1)) == wanted
            peer.leave()


class TestCost:
    """Making the gateway work more than oneself."""

    def test_ids_whose_hashes_are_all_the_same(self, watch: Watch) -> None:
        """Hundreds of calls at once whose ids have one hash are told apart and answered."""
        with watch.session("threats.hasher") as caller, watch.session("threats.answerer") as worker:
            ids = [number * (2**61 - 1) for number in range(500)]
            params = '{"agent_id":"threats.answerer","message":1}'
            caller.send(*(text(call("agent.call", params, request_id=str(number))) for number in ids))
            for _ in ids:
                asked = worker.notification("agent.invoke")["id"]
                worker.send(text(json.dumps({"jsonrpc": "2.0", "result": asked, "id": asked})))
            results = {caller.answer(number)["result"] for number in ids}
            assert len(results) == len(ids)
            for peer in (caller, worker):
                peer.leave()

    def test_members_by_the_ten_thousand(self, watch: Watch) -> None:
        """Objects of very many members, of one name or of many, cost no more than their bytes."""
        with watch.session("threats.members") as peer:
            for members in ([f'"{n}":{n}' for n in range(60_000)], [f'"a":{n}' for n in range(60_000)]):
                whole = "{" + ",".join(members) + "}"
                assert peer.answers(call("rpc.echo", f'{{"message":{whole}}}'))
                assert peer.answers(call("presence.update", f'{{"status":"busy","metadata":{whole}}}'))
                assert peer.answers(call("rpc.ping", whole))
            assert [code(message) for message in peer.messages if "error" in message].count(-32603) == 0
            peer.leave()


class TestSecrets:
    """Where a secret could be read."""

    def test_wherever_a_token_is_put(self, watch: Watch) -> None:
        """A token that somebody puts into the wrong place is not in the log, which the end of this module reads."""
        token = watch.mint("threats.careless").encode()
        for head in (
            request(line=b"GET /?token=" + token + b" HTTP/1.1"),
            request(line=b"GET /" + token + b" HTTP/1.1"),
            request(b"Authorization: Bearer " + token),
            request(b"Cookie: token=" + token),
            request(b"Sec-WebSocket-Protocol: " + token),
            request(b"X-Forwarded-For: " + token),
            request(b"Origin: https://" + token.replace(b"_", b"-") + b".example", b"X-Token: " + token),
            request(b"Sec-WebSocket-Extensions: " + token),
            request(line=token + b" / HTTP/1.1"),
        ):
            with Peer(watch.gateway.port) as peer:
                peer.send(head)
                assert peer.response().status in (101, 400, 404, 405)
        with watch.session("threats.clumsy") as peer:
            said = token.decode()
            for method, params in (
                (said, {}),
                ("rpc.echo", {"message": 1, said: 1}),
                ("channel.subscribe", {"channel": said}),
                ("channel.publish", {"channel": "threats.a", "message": said, "token": said}),
                ("presence.get", {"entity_id": said}),
                ("agent.send", {"agent_id": "threats.a", "message": said}),
                ("session.resume", {"resume_token": said}),
                ("auth.refresh", {"token": said}),
            ):
                peer.ask(method, **params)
            peer.send(text(f'{{"jsonrpc":"2.0","method":"rpc.ping","id":"{said}",'))
            peer.leave()

    def test_in_no_figures(self, watch: Watch) -> None:
        """No figures, no list and no command line hold a token or its digest."""
        token = watch.mint("threats.secretive")
        with watch.admin() as admin, Peer(watch.gateway.port).open() as peer:
            resume_token = peer.call("auth.authenticate", token=token)["resume_token"]
            shown = str(
                [
                    admin.call(method)
                    for method in ("gateway.getStats", "auth.listTokens", "presence.get", "agent.list", "channel.list")
                ]
            )
            shown += str(admin.call("presence.get", entity_id="threats.secretive"))
            shown += Path(f"/proc/{watch.gateway.pid}/cmdline").read_text()
            for secret in (token, ADMIN_TOKEN, resume_token):
                assert secret.split("_")[1] not in shown
            assert "digest" not in shown
            for one in (admin, peer):
                one.leave()

    def test_not_on_the_command_line(self, tmp_path: Path) -> None:
        """There is no flag for a token: everybody on the machine could read it."""
        words = [*TWISTD, "--state-dir", tmp_path / "s", "--admin-token", ADMIN_TOKEN]
        outcome = run_to_end(words, environment(), tmp_path)
        assert outcome.status != 0
        assert ADMIN_TOKEN not in outcome.output
