"""The ways by which something long comes to a client. Each has two in a row, which is as much as may always wait."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Final

from tests.slow.line import SlowLine
from tests.slow.stage import Reader, Stage

Way = Callable[[Stage, SlowLine, int], float]
"""Brings messages of so many bytes by a slow line; returns how many seconds that took."""


def content(reader: Reader, channel: str) -> object:
    """The next message of a channel."""
    params = reader.notification("channel.message")
    assert params["channel"] == channel
    message: object = params["message"]
    return message


def answer(stage: Stage, line: SlowLine, size: int) -> float:
    """The answers to two calls."""
    with stage.slow(line, stage.token(stage.name("answer"))) as reader:
        began = time.monotonic()
        for number in range(2):
            reader.post("rpc.echo", ["x" * size], str(number))
        for number in range(2):
            assert reader.answer(str(number)) == "x" * size
        return time.monotonic() - began


def live(stage: Stage, line: SlowLine, size: int) -> float:
    """Publications."""
    name = stage.name("live")
    with stage.slow(line, stage.token(name)) as reader, stage.quick() as admin:
        reader.call("channel.subscribe", channel=name)
        began = time.monotonic()
        for number in range(2):
            admin.call("channel.publish", channel=name, message=[number, "x" * size])
        for number in range(2):
            assert content(reader, name) == [number, "x" * size]
        return time.monotonic() - began


def recovery(stage: Stage, line: SlowLine, size: int) -> float:
    """What a client has missed, of which there is much, and shorter messages between."""
    name = stage.name("recovery")
    token = stage.token(name)
    missed = [message for number in range(2) for message in ([number, "x" * size], *["y" * (size // 10)] * 5)]
    with stage.quick() as admin:
        seen = admin.call("channel.publish", channel=name, message="seen")
        for message in missed:
            admin.call("channel.publish", channel=name, message=message)
    began = time.monotonic()
    with stage.slow(line, token) as reader:
        since = {"offset": seen["offset"], "epoch": seen["epoch"]}
        assert reader.call("channel.subscribe", channel=name, since=since)["recovered"] is True
        for message in missed:
            assert content(reader, name) == message
        return time.monotonic() - began


def mail(stage: Stage, line: SlowLine, size: int) -> float:
    """Letters that have waited while their recipient was away, and one that has not. Each is acknowledged."""
    name = stage.name("mail")
    token = stage.token(name)
    with stage.quick() as admin:
        for number in range(2):
            admin.call("agent.send", agent_id=name, message=[number, "x" * size])
        began = time.monotonic()
        with stage.slow(line, token, capabilities=["ack"]) as reader:
            admin.call("agent.send", agent_id=name, message=[2, "x" * size])
            got: list[object] = []
            while len(got) < 3:
                letter = reader.notification("agent.message")
                if letter["message"] not in got:  # one may come again, until it is acknowledged
                    got.append(letter["message"])
                reader.post("agent.ack", {"message_id": letter["message_id"], "status": "done"}, "ack")
            assert got == [[number, "x" * size] for number in range(3)]
            return time.monotonic() - began


def call(stage: Stage, line: SlowLine, size: int) -> float:
    """A call with a long message to an agent, and its long result to the caller, both by slow lines."""
    name = stage.name("call")
    token = stage.token(name)
    with stage.slow(line, token) as worker, stage.slow(line, stage.token(stage.name("caller"))) as caller:
        began = time.monotonic()
        caller.post("agent.call", {"agent_id": name, "message": "x" * size, "timeout_ms": 600_000}, "call")
        asked = worker.notification("agent.invoke")
        assert asked["message"] == "x" * size
        for number in range(3):
            worker.post("agent.progress", {"call_id": asked["call_id"], "data": number}, "progress")
        worker.connection.send(json.dumps({"jsonrpc": "2.0", "id": asked["call_id"], "result": "y" * size}))
        assert caller.answer("call") == "y" * size
        return time.monotonic() - began


WAYS: Final[dict[str, Way]] = {each.__name__: each for each in (answer, live, recovery, mail, call)}
