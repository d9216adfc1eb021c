"""The dispatcher: a conversation of several peers with a gateway, a line each step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred

from cell0gw.channels.rules import ChannelRule
from cell0gw.testing import MemoryGateway
from tests.fuzz.findings import TEXT, check, connect, nothing_is_logged, pass_time, spoken
from tests.fuzz.handshake import REQUEST
from tests.fuzz.oracle import judge, read

RESUME_WINDOW: Final = 5
PATIENCE: Final = 8
"""Seconds after which nothing is left of peers that are gone."""

MAX_WAIT: Final = 40
"""Seconds that pass in one conversation at most."""

STEPS: Final = 40

AGENT, WORKER, ADMIN = 1, 2, 3
ENTITIES: Final = (None, "a", "w", "boss")
"""Who the peers are, by number."""

DECLARED: Final = b'"capabilities":["chat","ack"],"max_inflight":2,"metadata":{"k":[1]}'

KNOWN: Final = ("token", "resume_token", "token_id", "session_id", "call_id", "message_id", "epoch")
"""What was told last by these names stands for @ and the name in a line."""

STORIES: Final = [path.read_bytes() for path in sorted((Path(__file__).parent / "corpus/dispatcher").iterdir())]
"""Conversations to start from. A line is who speaks and what; or how many seconds pass (+), who is lost (-), who comes
again (=)."""

_words = re.compile(rb'"\w+(?:\.\w+)?"').findall
_told = re.compile(rb'"(%b)":"([^"]*)"' % "|".join(KNOWN).encode()).findall
_meant = re.compile(rb"@(%b)\b" % "|".join(KNOWN).encode())


class Dispatching:
    """Every message has the answer that JSON-RPC demands, and nothing is left of peers that are gone."""

    seeds: dict[str, bytes] = {}
    words = [
        *sorted({word for story in STORIES for word in _words(story)}),
        *[b"@" + name.encode() for name in KNOWN], b"\n0{", b"\n1{", b"\n2{", b"\n3{", b"\n+9", b"\n-2", b"\n=2",
        b"null", b"true", b"1e400", b"-1", b"99999999999999999999", b"\\ud800", b"[[[[", b"$system", b"*", b"c.>",
    ]  # fmt: skip

    def __init__(self) -> None:
        rules = (ChannelRule(pattern="d.>", durable=True, history_size=3, history_ttl=60.0),)
        self.gateway = MemoryGateway(channels=rules, resume_window=float(RESUME_WINDOW))

    def close(self) -> None:
        """See L{Target}."""
        self.gateway.close()

    def run(self, data: bytes) -> None:
        """See L{Target}."""
        with nothing_is_logged():
            talk = Talk(self.gateway)
            for line in data.split(b"\n")[:STEPS]:
                talk.step(line)
            talk.end()


class Talk:
    """The peers, and what they were told."""

    def __init__(self, gateway: MemoryGateway) -> None:
        self._gateway = gateway
        self._tokens = [
            entity and gateway.token(entity, permissions=["*"] if peer == ADMIN else None)
            for peer, entity in enumerate(ENTITIES)
        ]
        self._patience = MAX_WAIT
        self._told: dict[bytes, bytes] = {}
        self._pending: dict[int, bytes] = {}
        self._late: list[tuple[bytes, Any]] = []
        self._peers: list[Any] = [None] * len(ENTITIES)
        for peer in range(len(ENTITIES)):
            self._connect(peer)

    def step(self, line: bytes) -> None:
        """Do what a line says."""
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            seconds = min(self._patience, int(rest) if rest.isdigit() and len(rest) < 4 else 1)
            self._patience -= seconds
            pass_time(self._gateway, seconds)
            self._listen()
        elif kind in b"-=" and kind and rest[:1].isdigit():
            (self._lose if kind == b"-" else self._connect)(int(rest[:1]) % len(self._peers))
        else:
            peer = int(kind) % len(self._peers) if kind.isdigit() else AGENT
            self._say(peer, _meant.sub(lambda name: self._told.get(name[1], name[0]), rest))

    def end(self) -> None:
        """All go; what they have begun must end."""
        for peer in range(len(self._peers)):
            self._lose(peer)
        pass_time(self._gateway, PATIENCE)
        for message, answer in self._late:
            judge(message, answer, self._gateway.config.max_batch)
        gateway = self._gateway
        check(not self._pending, "never answered", list(self._pending.values()))
        left = (len(gateway.guard.connections), len(gateway.sessions), len(gateway.agents.calls))
        check(left == (0, 0, 0), "connections, sessions or calls are left", left)

    def _say(self, peer: int, message: bytes) -> None:
        if self._peers[peer] is None or self._peers[peer][0].closing_since is not None:
            return
        answer = self._gateway.factory.dispatch(self._peers[peer][0].caller, message)
        if isinstance(answer, Deferred):
            number = len(self._late) + len(self._pending)
            self._pending[number] = message
            answer.addBoth(self._arrived, number)
        else:
            judge(message, answer, self._gateway.config.max_batch)
            self._hear(answer or b"")
        self._listen()

    def _arrived(self, answer: Any, number: int) -> None:
        self._late.append((self._pending.pop(number), answer))
        self._hear(answer or b"")

    def _hear(self, told: bytes) -> None:
        self._told.update(_told(told))

    def _listen(self) -> None:
        """Whatever is sent to anybody is JSON."""
        for peer in self._peers:
            if peer is not None:
                for first, payload in spoken(peer[1].value()):
                    if first == TEXT:
                        read(payload)
                        self._hear(payload)
                peer[1].clear()

    def _connect(self, peer: int) -> None:
        self._lose(peer)
        server, transport = connect(self._gateway)
        server.dataReceived(REQUEST)
        transport.clear()
        self._peers[peer] = server, transport
        token = self._tokens[peer]
        if token is not None:
            declared = DECLARED if peer == WORKER else b'"capabilities":[]'
            self._say(peer, b'{"jsonrpc":"2.0","method":"auth.authenticate","params":{"token":"%b",%b},"id":0}' % (
                token.encode(), declared))  # fmt: skip

    def _lose(self, peer: int) -> None:
        if self._peers[peer] is not None:
            self._listen()
            _, transport = self._peers[peer]
            self._peers[peer] = None
            if transport.connected:
                transport.loseConnection()
