"""A client of the gateway that waits no longer than it is told to."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from tests.e2e.clients import Client
from tests.e2e.processes import Address


class Talker(Client):
    """One that can look whether something comes."""

    def polled(self, method: str, seconds: float) -> dict[str, Any] | None:
        """The params of the next notification of that name; None: none came within so many seconds."""
        deadline = time.monotonic() + seconds
        while True:
            for place, message in enumerate(self.messages):
                if message.get("method") == method:
                    params: dict[str, Any] = self.messages.pop(place)["params"]
                    return params
            try:
                self.messages.append(json.loads(self.connection.recv(max(0.0, deadline - time.monotonic()))))
            except TimeoutError:
                return None

    def begin(self, method: str, **params: Any) -> None:
        """Make a call whose answer nobody waits for."""
        self.connection.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": "begun"}))


class Access(NamedTuple):
    """How those of a story reach the gateway.

    @ivar port: where it serves.
    @ivar tokens: of C{sender} and C{worker}.
    @ivar wait: for how many seconds a worker may be silent.
    """

    port: int
    tokens: dict[str, str]
    wait: float

    def connect(self, who: str, **declared: Any) -> Talker:
        """A session."""
        client = Talker(Address(self.port))
        client.call("auth.authenticate", token=self.tokens[who], **declared)
        return client


def shown(answer: dict[str, Any], *members: str) -> str:
    """An answer in words: these members of its result, or its error."""
    if "error" in answer:
        error = answer["error"]
        near = error["data"].get("near")
        return f"error {error['code']}, `{error['data']['code']}`" + (f", `near` `{', '.join(near)}`" if near else "")
    result = answer["result"]
    there = {name: result[name] for name in members if name in result}
    return ", ".join(f"`{name}` `{words(value)}`" for name, value in there.items())


def words(value: Any) -> str:
    """A member of an answer: text, a number, a truth, or a list of texts."""
    if isinstance(value, list):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value)
