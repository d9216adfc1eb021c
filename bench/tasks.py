"""Tasks that are created, that wait, that agents and creators come back to; and durable publications, to compare."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from bench.gateway import Gateway, busy
from bench.load import Connection, client_frame, resident_kib

SKILL = "bench.skill"
TASK = {"capability": SKILL, "message": {"n": 1}}
AT_ONCE = 500
"""Tasks that one client creates at once, before there is any load."""
RETURNS = 300
"""How often somebody comes back."""


def publish_durably(clients: int, window: int) -> Callable[[Gateway, float], dict[str, float]]:
    """C{channel.publish} to a durable channel of each client's own: answered once it is on disk."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        senders = [gateway.client() for _ in range(clients)]

        def frame(number: int) -> bytes:
            params = {"channel": f"durable.{number}", "message": {"n": 1}}
            return client_frame({"method": "channel.publish", "params": params, "id": 1})

        return busy(gateway, senders, [], frame, window, seconds, "answers")

    return measure


def create_tasks(clients: int, window: int) -> Callable[[Gateway, float], dict[str, float]]:
    """C{task.create}: answered once it is on disk. Nobody serves."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        token = gateway.mint("bench.>")
        senders = [gateway.named(token, f"bench.from.{n}") for n in range(clients)]
        frame = client_frame({"method": "task.create", "params": TASK, "id": 1})
        return busy(gateway, senders, [], lambda number: frame, window, seconds, "answers")

    return measure


def agents_come_back(waiting: int) -> Callable[[Gateway, float], dict[str, float]]:
    """From the connection of an agent until it has a task, while that many wait; it leaves without a word."""

    def come_back(gateway: Gateway, token: str, number: int) -> Connection:
        declared = {"capabilities": [SKILL, "ack"], "max_inflight": 1}
        agent: Connection = gateway.named(token, f"bench.agent.{number}", **declared)
        agent.wait_for(3)  # the welcome, the answer, the task
        return agent

    return _returns(waiting, come_back)


def creators_come_back(waiting: int) -> Callable[[Gateway, float], dict[str, float]]:
    """From the connection of a creator until it has a page of its tasks, and an event of one, while that many wait."""

    def come_back(gateway: Gateway, token: str, number: int) -> Connection:
        creator: Connection = gateway.named(token, _creator(number % _creators(waiting)))
        (task, *_) = creator.ask("task.list", limit=100)["tasks"]
        since = {"offset": 0, "epoch": task["epoch"]}
        frames = creator.frames
        creator.call("task.subscribe", task_id=task["task_id"], since=since)
        creator.wait_for(frames + 2)  # the answer, the event
        return creator

    return _returns(waiting, come_back)


def tasks_wait(each_second: int) -> Callable[[Gateway, float], dict[str, float]]:
    """What waiting tasks hold in memory, and how long a gateway takes to start with them."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        count = int(each_second * seconds)
        token = gateway.mint("bench.>")
        _create(gateway, token, 10 * AT_ONCE, "bench.before")  # what the first few cost stays, however many there are
        before, began = resident_kib(gateway.process.pid), time.perf_counter()
        _create(gateway, token, count)
        took = time.perf_counter() - began
        held = resident_kib(gateway.process.pid) - before
        gateway.stop()
        began = time.perf_counter()
        gateway.start()
        return {"per_second": count / took, "kib_each": held / count, "start_s": time.perf_counter() - began}

    return measure


def _returns(
    waiting: int, come_back: Callable[[Gateway, str, int], Connection]
) -> Callable[[Gateway, float], dict[str, float]]:
    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        token = gateway.mint("bench.>")
        _create(gateway, token, waiting)
        took = []
        for number in range(RETURNS):
            began = time.perf_counter()
            connection = come_back(gateway, token, number)
            took.append(time.perf_counter() - began)
            connection.socket.close()
        ordered = [1000 * each for each in sorted(took)]
        p50, p99 = ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]
        return {"per_second": RETURNS / sum(took), "p50_ms": p50, "p99_ms": p99}

    return measure


def _create(gateway: Gateway, token: str, count: int, creator: str = "bench.creator") -> None:
    for number, share in enumerate(_shares(count)):
        client = gateway.named(token, _creator(number, creator))
        client.call_all("task.create", [TASK] * share)
        client.socket.close()


def _shares(count: int) -> Iterator[int]:
    for start in range(0, count, AT_ONCE):
        yield min(AT_ONCE, count - start)


def _creators(waiting: int) -> int:
    return len(list(_shares(waiting)))


def _creator(number: int, prefix: str = "bench.creator") -> str:
    return f"{prefix}.{number}"
