"""Measure this gateway alone: calls, fan-out, messages, tasks, connections, memory. Prints a table, writes JSON.

    python -m bench [--seconds 2] [--only calls,fan-out] [--json results.json]

Where the system lets it, the gateway runs on the first processor and the load comes from the others.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import resource
import time
from collections.abc import Callable
from typing import Any

from bench.gateway import Gateway, busy
from bench.load import Agent, client_frame, processor_seconds, resident_kib
from bench.tasks import agents_come_back, create_tasks, creators_come_back, publish_durably, tasks_wait

LONG = {
    "steps": [{"tool": f"tool_{n}", "status": "ok", "summary": f"Step {n} found {n * 3} matches."} for n in range(20)]
}


def calls(clients: int, window: int) -> Callable[[Gateway, float], dict[str, float]]:
    """C{rpc.echo}, so many clients with so many calls in flight each."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        senders = [gateway.client() for _ in range(clients)]
        frame = client_frame({"method": "rpc.echo", "params": {"message": "hello"}, "id": 1})
        return busy(gateway, senders, [], lambda number: frame, window, seconds, "answers")

    return measure


def fan_out(
    subscribers: int, message: Any, compressed: bool = False, channel: str = "bench"
) -> Callable[[Gateway, float], dict[str, float]]:
    """One publisher, so many subscribers."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        receivers = [gateway.client(compressed) for _ in range(subscribers)]
        for receiver in receivers:
            receiver.call("channel.subscribe", channel=channel)
        params = {"channel": channel, "message": message}
        frame = client_frame({"method": "channel.publish", "params": params, "id": 1})
        return busy(gateway, [gateway.client()], receivers, lambda number: frame, 2, seconds, "deliveries")

    return measure


def beside_patterns(count: int) -> Callable[[Gateway, float], dict[str, float]]:
    """One publisher, a hundred subscribers, and so many subscriptions to patterns that cover nothing of it."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        each = min(count, 1000)
        others = [gateway.client() for _ in range(count // each)]
        for place, other in enumerate(others):
            patterns = [f"bench.*.{place}.{n}.>" for n in range(each)]
            other.call_all("channel.subscribe", [{"channel": pattern} for pattern in patterns])
        return fan_out(100, {"type": "task_completed", "task_id": "task_123"}, channel="bench.a.b.c")(gateway, seconds)

    return measure


def directed(pairs: int, window: int) -> Callable[[Gateway, float], dict[str, float]]:
    """C{agent.send}, from so many clients, each to an agent of its own that is connected."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        token = gateway.mint("bench.>")
        receivers = [gateway.named(token, f"bench.to.{n}") for n in range(pairs)]
        senders = [gateway.named(token, f"bench.from.{n}") for n in range(pairs)]

        def frame(number: int) -> bytes:
            params = {"agent_id": f"bench.to.{number}", "message": {"n": 1}}
            return client_frame({"method": "agent.send", "params": params, "id": 1})

        return busy(gateway, senders, receivers, frame, window, seconds, "deliveries")

    return measure


def through_agents(
    agents: int, capabilities: int, callers: int, window: int
) -> Callable[[Gateway, float], dict[str, float]]:
    """C{agent.call} by capability: to the agent, and back with its answer. Each agent has one of the capabilities."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        token = gateway.mint("bench.>")
        served = [
            gateway.named(token, f"bench.agent.{n}", Agent, capabilities=[f"skill.{n % capabilities}"])
            for n in range(agents)
        ]
        senders = [gateway.named(token, f"bench.from.{n}") for n in range(callers)]

        def frame(number: int) -> bytes:
            params = {"capability": f"skill.{number % capabilities}", "message": 1}
            return client_frame({"method": "agent.call", "params": params, "id": number})

        return busy(gateway, senders, served, frame, window, seconds, "answers")

    return measure


def connects(count: int, compressed: bool = False) -> Callable[[Gateway, float], dict[str, float]]:
    """So many clients, one after the other; and what each holds while it is silent."""

    def measure(gateway: Gateway, seconds: float) -> dict[str, float]:
        pid = gateway.process.pid
        gateway.client()
        before, used, began = resident_kib(pid), processor_seconds(pid), time.perf_counter()
        kept = [gateway.client(compressed) for _ in range(count)]
        elapsed, used = time.perf_counter() - began, processor_seconds(pid) - used
        return {
            "per_second": len(kept) / elapsed,
            "cpu_us": used / count * 1e6,
            "kib_each": (resident_kib(pid) - before) / count,
        }

    return measure


SCENARIOS: dict[str, Callable[[Gateway, float], dict[str, float]]] = {
    "calls, 1 client": calls(1, 1),
    "calls, 50 clients": calls(50, 1),
    "calls, 50 clients, 16 in flight": calls(50, 16),
    "fan-out to 100": fan_out(100, {"type": "task_completed", "task_id": "task_123"}),
    "fan-out to 100, 1.5 KiB": fan_out(100, LONG),
    "fan-out to 100, 1.5 KiB, compressed": fan_out(100, LONG, compressed=True),
    "fan-out to 100, 100 patterns": beside_patterns(100),
    "fan-out to 100, 100,000 patterns": beside_patterns(100_000),
    "directed messages, 50 pairs, 16 in flight": directed(50, 16),
    "calls to an agent, 1 caller": through_agents(1, 1, 1, 1),
    "calls by capability, 10 agents": through_agents(10, 10, 10, 1),
    "calls by capability, 10,000 agents": through_agents(10_000, 1000, 10, 1),
    "durable publications, 50 clients, 16 in flight": publish_durably(50, 16),
    "tasks created, 50 clients, 16 in flight": create_tasks(50, 16),
    "agents come back to 10,000 waiting tasks": agents_come_back(10_000),
    "creators come back to 10,000 waiting tasks": creators_come_back(10_000),
    "tasks wait, 50,000 for each second": tasks_wait(50_000),
    "connections": connects(1000),
    "connections, compressed": connects(1000, compressed=True),
}
OVER_TLS = ("calls, 50 clients, 16 in flight", "fan-out to 100", "connections")
COLUMNS = {
    "per_second": "per second",
    "cpu_us": "CPU us each",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "kib_each": "KiB each",
    "start_s": "start s",
}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each load lasts")
    parser.add_argument("--only", default="", help="scenarios whose name begins with one of these, split at commas")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # ten thousand agents are as many sockets, on both sides
    results: dict[str, dict[str, float]] = {}
    print(f"| scenario | {' | '.join(COLUMNS.values())} |\n|---|{'---:|' * len(COLUMNS)}")
    scenarios = [(name, measure, False) for name, measure in SCENARIOS.items()]
    scenarios += [(f"{name}, TLS", SCENARIOS[name], True) for name in OVER_TLS]
    for name, measure, tls in scenarios:
        if name.startswith(tuple(options.only.split(","))):
            with Gateway(tls) as gateway:
                figures = results[name] = measure(gateway, options.seconds)
            cells = (f"{figures[column]:,.4g}" if column in figures else "" for column in COLUMNS)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


main()
