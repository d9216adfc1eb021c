"""A gateway in memory, on a clock: for this project's tests and for those of its users.

>>> gateway = MemoryGateway()
>>> agent = gateway.connect("agent_001", capabilities=["chat"])
>>> agent.call("channel.subscribe", channel="events")["success"]
True
>>> gateway.publish("events", {"type": "hello"}).recipients
1
>>> agent.received("channel.message")[0]["message"]
{'type': 'hello'}

Real protocol objects talk to each other, on both sides Autobahn's, without a port and without a reactor. Time passes
when C{gateway.advance} says so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Any, cast

import txaio.testutil
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump

from cell0gw.agents.mail.store import IMailStore
from cell0gw.app.gateway import Gateway
from cell0gw.auth.credentials import LIFETIME
from cell0gw.auth.principal import EntityType
from cell0gw.auth.store import ITokenStore
from cell0gw.channels.store import IMessageStore
from cell0gw.config.options import Config
from cell0gw.engines.memory.engine import MemoryEngine
from cell0gw.tasks.store import ITaskStore
from cell0gw.testing.recording import EPOCH, RecordingConnection
from cell0gw.testing.stated import counter, stated

__all__ = ["EPOCH", "CallFailed", "Client", "MemoryGateway", "RecordingConnection", "counter", "now"]

Id = int | float | str | None

_THERE = IPv4Address("TCP", "127.0.0.1", 18801)
_HERE = IPv4Address("TCP", "127.0.0.1", 50000)


class CallFailed(Exception):
    """The gateway answered with an error.

    @ivar error: the error object: C{code}, C{message}, C{data}.
    """

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(f"{error['code']} {error['message']}")
        self.error = error
        self.code: int = error["code"]


class MemoryGateway(Gateway):
    """The whole gateway, but for its port, its disk and its reactor.

    @param options: any option by its name, see L{Config}.
    @ivar clock: its time; Autobahn's timers run on it, too, until C{close}.
    @ivar ahead: by how many seconds the wall clock is ahead of it: a test may set it at any moment.
    """

    def __init__(
        self,
        token_store: ITokenStore | None = None,
        message_store: IMessageStore | None = None,
        mail_store: IMailStore | None = None,
        task_store: ITaskStore | None = None,
        audit: Callable[[bytes], Any] = lambda line: None,
        **options: Any,
    ) -> None:
        self.clock = Clock()
        self.clock.rightNow = EPOCH
        self.ahead = 0.0
        runtime = stated(self.clock, lambda: self.clock.seconds() + self.ahead)
        super().__init__(
            Config(**options), MemoryEngine(token_store, message_store, mail_store, task_store), runtime, audit
        )
        self._clients: list[Client] = []
        self._loop = txaio.testutil.replace_loop(self.clock)
        self._loop.__enter__()
        self.startService()

    def close(self) -> None:
        """Give Autobahn its timers back; C{self.addCleanup(gateway.close)}."""
        self._loop.__exit__(None, None, None)

    def advance(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass, in steps as a reactor would; what is sent meanwhile arrives."""
        whole, rest = divmod(seconds, step)
        for length in [step] * int(whole) + [rest]:
            self.clock.advance(length)
            for client in self._clients:
                client.flush()

    def token(
        self,
        entity_id: str,
        entity_type: EntityType = "agent",
        permissions: Iterable[str] | None = None,
        expires_in_hours: float = LIFETIME,
        renewable_for_hours: float | None = None,
    ) -> str:
        """A new token; C{permissions} None means the agent set."""
        granted = None if permissions is None else list(permissions)
        return now(self.mint(entity_id, entity_type, granted, expires_in_hours, renewable_for_hours).deferred)

    def connect(self, entity_id: str | None = None, token: str | None = None, **declared: Any) -> Client:
        """A client whose handshake is done.

        @param entity_id: authenticate as this agent, with a new token; None: stay anonymous.
        @param token: authenticate with this one instead.
        @param declared: further params of C{auth.authenticate}, such as C{capabilities}.
        """
        client = Client(self)
        self._clients.append(client)
        if token is None and entity_id is not None:
            token = self.token(entity_id)
        if token is not None:
            client.call("auth.authenticate", token=token, **declared)
        return client


class Client:
    """One WebSocket client of a L{MemoryGateway}.

    @ivar messages: everything received, parsed, in order; notifications, answers and batches.
    @ivar close_code: what the gateway closed with, None while it has not.
    """

    def __init__(self, gateway: MemoryGateway) -> None:
        self.messages: list[Any] = []
        self.close_code: int | None = None
        self._ids = itertools.count(1)
        self._gateway = gateway
        factory = WebSocketClientFactory("ws://gateway.example:18801/", reactor=gateway.clock)
        factory.protocol = _ClientProtocol
        self.protocol = cast(Any, factory.buildProtocol(_THERE))
        self.protocol.client = self
        self.server = cast(Any, gateway.factory.buildProtocol(_HERE))
        ends = [
            FakeTransport(end, isServer=end is self.server, peerAddress=address)
            for end, address in ((self.server, _HERE), (self.protocol, _THERE))
        ]
        self.server.makeConnection(ends[0])
        self.protocol.makeConnection(ends[1])
        self._pump = IOPump(self.protocol, self.server, ends[1], ends[0], debug=False)
        self.flush()

    def flush(self) -> None:
        """Deliver everything that is in transit."""
        self._gateway.clock.advance(0)
        while self._pump.pump():
            pass

    def send(self, payload: bytes | str) -> list[Any]:
        """Send a text message, whatever it says.

        @return: what came in return.
        """
        before = len(self.messages)
        self.protocol.sendMessage(payload.encode() if isinstance(payload, str) else payload)
        self.flush()
        return self.messages[before:]

    def request(self, method: str, params: Any = None, id: Id = None) -> dict[str, Any]:
        """Make a call.

        @param params: an object or an array; None: no params at all.
        @return: the whole answer, result or error.
        @raise AssertionError: there was none.
        """
        request_id = next(self._ids) if id is None else id
        message = {"jsonrpc": "2.0", "method": method, "id": request_id}
        if params is not None:
            message["params"] = params
        answers = [m for m in self.send(json.dumps(message)) if isinstance(m, dict) and m.get("id") == request_id]
        assert len(answers) == 1, f"{len(answers)} answers to {method}"
        return dict(answers[0])

    def call(self, method: str, **params: Any) -> Any:
        """Make a call.

        @return: its result.
        @raise CallFailed: the answer was an error.
        """
        answer = self.request(method, params)
        if "error" in answer:
            raise CallFailed(answer["error"])
        return answer["result"]

    def refusal(self, method: str, **params: Any) -> dict[str, Any]:
        """The error object of a call that must fail.

        @raise AssertionError: it did not.
        """
        answer = self.request(method, params)
        assert "error" in answer, f"{method} was not refused: {answer}"
        return dict(answer["error"])

    def received(self, method: str) -> list[Any]:
        """The params of every notification of that name, in order."""
        self.flush()
        return [m["params"] for m in self.messages if isinstance(m, dict) and m.get("method") == method]

    def disconnect(self) -> None:
        """Close the connection cleanly."""
        self.protocol.sendClose(1000)
        self.flush()

    def vanish(self) -> None:
        """Drop the connection without a close frame."""
        self.protocol.transport.abortConnection()
        self.flush()


class _ClientProtocol(WebSocketClientProtocol):
    client: Client

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.client.messages.append(json.loads(payload))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.client.close_code = code


def now(deferred: Deferred[Any]) -> Any:
    """The result of a Deferred that has fired.

    @raise AssertionError: it has not.
    """
    results: list[Any] = []
    failures: list[Any] = []
    deferred.addCallbacks(results.append, failures.append)
    if failures:
        failures[0].raiseException()
    assert results, "it has not fired yet"
    return results[0]
