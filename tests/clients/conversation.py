"""What each client has to do, and what came of it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

from tests.clients.catalogue import Client
from tests.clients.peers import Peer
from tests.clients.place import Place
from tests.e2e.clients import Client as Admin
from tests.e2e.processes import ADMIN_TOKEN, Address

SIZES: Final = {"300 KB": 300_000, "9 MB": 9_000_000}
"""Bytes of the long messages that clients get."""
UPWARDS: Final = 1_500_000
"""Bytes of the long message that they send: of those who compress it some send it in thousands of fragments."""
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz      \u00e4\u00df\u20ac\u6771\U0001f642"


class Outcome(NamedTuple):
    """What came of one client in one place.

    @ivar failed: what it was at when it failed, and how; empty: it did all that it can.
    @ivar negotiated: the extensions that it says were agreed on.
    """

    failed: str
    negotiated: str = ""


def long_text(size: int) -> str:
    """A text that compresses to about half, with letters of one to four bytes.

    @param size: its length in UTF-8, in bytes.
    """
    chance = random.Random(size)
    some = "".join(chance.choices(LETTERS, k=20_000)).encode()
    data = (some * (size // len(some) + 1))[:size]
    cut = data.decode(errors="ignore")
    return cut + "." * (size - len(cut.encode()))


def request(number: str, method: str, **params: Any) -> str:
    """A request, in one line."""
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": number}, ensure_ascii=False)


def expect(peer: Peer, pattern: str) -> re.Match[str]:
    """Wait until a client has printed such a line.

    @raise AssertionError: it won't, or it prints first that it can't go on.
    """
    match = peer.wait_for(f"{pattern}|^(?:closed|failed).*")
    if not re.search(pattern, match[0]):
        raise AssertionError(match[0][:200])
    return match


def tale(text: str) -> str:
    """What a client prints, as a pattern, of a message that is long."""
    data = text.encode()
    return f"^message {len(data)} {hashlib.sha256(data).hexdigest()}"


class Witness:
    """An admin who is connected to the gateway itself and gets what clients get, to compare.

    @param context: what TLS is spoken with; None: it is not.
    """

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        address = Address(port, "ws" if context is None else "wss")
        self._admin = Admin(address, ADMIN_TOKEN, ssl=context)
        self._lock = threading.Lock()

    def token(self, client: str) -> dict[str, Any]:
        """A token for a client, with its id."""
        with self._lock:
            permissions = ["rpc.*", "channel.subscribe"]
            made = self._admin.call("auth.generateToken", entity_id=client, permissions=permissions)
            assert isinstance(made, dict)
            return made

    def revoke(self, token_id: str) -> None:
        """Revoke a token, which closes connections."""
        with self._lock:
            self._admin.call("auth.revokeToken", token_id=token_id)

    def same_answer(self, text: str) -> str:
        """The answer to a request, which is the same for whoever asks."""
        with self._lock:
            self._admin.connection.send(text)
            return self._next()

    def publish(self, channel: str, text: str) -> str:
        """Publish a message.

        @return: what each subscriber gets.
        """
        with self._lock:
            self._admin.call("channel.subscribe", channel=channel)
            self._admin.connection.send(request("published", "channel.publish", channel=channel, message=text))
            got = {json.loads(one).get("method", "answer"): one for one in (self._next(), self._next())}
            self._admin.call("channel.unsubscribe", channel=channel)
            return got["channel.message"]

    def close(self) -> None:
        """Leave."""
        self._admin.connection.close()

    def _next(self) -> str:
        """The next message that is no heartbeat."""
        while True:
            text = self._admin.connection.recv(30)
            assert isinstance(text, str)
            if '"method":"heartbeat"' not in text[:100]:
                return text


class Conversation:
    """One client in one place, from its connection to the two closes that it sees."""

    def __init__(self, client: Client, place: Place, witness: Witness) -> None:
        self._client, self._place, self._witness = client, place, witness
        self._peers: list[Peer] = []
        self._negotiated = ""
        self._doing = ""

    def hold(self) -> Outcome:
        """All but what it sees when the gateway goes down; it stays connected for that."""
        return self._judged(self._first if self._client.silent else self._all)

    def see_drain(self) -> Outcome:
        """Wait for what the gateway says while it goes down, after L{hold} has succeeded."""
        return self._judged(lambda: None if self._client.silent else self._closed(self._peers[-1], 4001))

    def end(self) -> None:
        """End its processes."""
        for peer in self._peers:
            with suppress(Exception):
                peer.kill()

    def _judged(self, act: Callable[[], object]) -> Outcome:
        try:
            act()
        except Exception as failure:
            return Outcome(f"{self._doing}: {failure or type(failure).__name__}", self._negotiated)
        return Outcome("", self._negotiated)

    def _first(self) -> None:
        self._doing = "connect"
        peer = self._connect()
        expect(peer, "^HTTP/1.1 101 ")
        self._doing = "welcome"
        expect(peer, "connection.welcome")

    def _all(self) -> None:
        token = self._witness.token(self._client.name)
        peer = self._opened(token["token"])
        self._doing = "call"
        peer.send(request("ping", "rpc.ping"))
        expect(peer, '^message .*"pong"')
        self._doing = "long call"
        echo = request("echo", "rpc.echo", message=long_text(UPWARDS))
        peer.send(echo)
        expect(peer, tale(self._witness.same_answer(echo)))
        channel = f"clients.{self._client.name}"
        self._doing = "subscribe"
        peer.send(request("subscribed", "channel.subscribe", channel=channel))
        expect(peer, '^message .*"subscribed"')
        for name, size in SIZES.items():
            self._doing = name
            expect(peer, tale(self._witness.publish(channel, long_text(size))))
        self._doing = "close of a revoked token"
        self._witness.revoke(token["token_id"])
        self._closed(peer, 4507)
        peer.kill()
        self._peers.remove(peer)
        self._opened(self._witness.token(self._client.name)["token"])
        self._doing = "close at drain"

    def _connect(self) -> Peer:
        self._peers.append(self._client.connect(self._place, True))
        return self._peers[-1]

    def _opened(self, token: str) -> Peer:
        self._doing = "connect"
        peer = self._connect()
        self._negotiated = expect(peer, "^open(.*)")[1].strip()
        if self._client.compresses and "permessage-deflate" not in self._negotiated:
            raise AssertionError("compression was not agreed on")
        self._doing = "authenticate"
        peer.send(request("authenticated", "auth.authenticate", token=token))
        expect(peer, '^message .*"result".*"authenticated"|^message .*"authenticated".*"result"')
        return peer

    def _closed(self, peer: Peer, code: int) -> None:
        seen = expect(peer, r"^closed (\d+|\w+)(.*)")
        if seen[1] != str(code):
            raise AssertionError(f"{code} was sent, it saw {seen[1]}{seen[2]}")
