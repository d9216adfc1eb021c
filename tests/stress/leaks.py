"""After the scenarios: nothing is left of them, and the gateway has nothing to complain of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self

from tests.stress.checks import Failed, equal, within
from tests.stress.clients import Lean
from tests.stress.victim import LIMITS, StressedGateway

MIB: Final = 1024 * 1024
CHURN: Final = 150
GROWTH: Final = 6 * MIB
"""So much more memory it may have after some hundreds of connections more; an allocator is never quite flat."""

SPACE: Final = 96 * MIB
"""So much more it may have at the end than before the first scenario: what is kept by rule, and what fell apart."""

Finding = tuple[str, str, float]


class Leaks:
    """Remembers how things were at the start."""

    def __init__(self, gateway: StressedGateway, admin: Lean) -> None:
        self._gateway = gateway
        self._admin = admin
        self._resident = self._descriptors = self._logged = 0

    async def begin(self) -> Self:
        """Look how things are."""
        stranger = await Lean("127.0.0.3").open(self._gateway.port)
        await stranger.refusal("auth.authenticate", token="cell0_wrong_1")  # opens the audit log
        await self._admin.call("auth.generateToken", entity_id="leaks")  # and that of tokens
        await stranger.close()
        self._resident = self._gateway.resident
        await asyncio.sleep(0.2)
        self._descriptors = self._gateway.descriptors
        return self

    async def look(self) -> list[Finding]:
        """Every check, with what is wrong, if anything is, and how long it took."""
        checks: dict[str, Callable[[], Awaitable[None]]] = {
            "no_sessions_left": self._no_sessions,
            "no_connections_left": self._no_connections,
            "no_presence_left": self._no_presence,
            "no_subscriptions_left": self._no_subscriptions,
            "no_calls_left": self._no_calls,
            "descriptors_flat": self._descriptors_flat,
            "memory_flat": self._memory_flat,
            "nothing_to_complain_of": self._no_complaints,
        }
        findings = []
        for name, check in checks.items():
            began, problem = time.monotonic(), ""
            try:
                await check()
            except Failed as failed:
                problem = str(failed)
            findings.append((name, problem, time.monotonic() - began))
        return findings

    async def _figures(self, service: str) -> dict[str, int]:
        return (await self._admin.call("gateway.getStats"))["services"][service]

    async def _no_sessions(self) -> None:
        """But the admin's; places are kept for as long as the rule says."""

        async def left() -> Any:
            figures = await self._figures("session")
            return figures["sessions"], figures["sessions_detached"]

        await _settle(left, (1, 0), "sessions, and places that are kept", LIMITS["resume_window"] + 15)

    async def _no_connections(self) -> None:
        async def left() -> Any:
            return (await self._figures("gateway"))["connections"]

        await _settle(left, 1, "connections", 15)

    async def _no_presence(self) -> None:
        here = await self._admin.call("presence.get")
        equal([entry["entity_id"] for entry in here], ["admin"], "who is here")

    async def _no_subscriptions(self) -> None:
        listed = (await self._admin.call("channel.list", limit=10_000))["channels"]
        equal([one["channel"] for one in listed if one["subscribers"]], [], "channels with subscribers")
        equal((await self._figures("channel"))["patterns"], 0, "patterns with subscribers")

    async def _no_calls(self) -> None:
        figures = await self._figures("agent")
        equal([figures["calls_inflight"], figures["calls_waiting"]], [0, 0], "calls that run, and that wait")

    async def _descriptors_flat(self) -> None:
        async def left() -> Any:
            return self._gateway.descriptors

        await _settle(left, self._descriptors, "open files and sockets", 10)

    async def _memory_flat(self) -> None:
        """Some hundreds of connections more don't make it larger, once the first of them have."""
        await self._churn()
        before = self._gateway.resident
        for _ in range(3):
            await self._churn()
        grown = self._gateway.resident - before
        within(grown / MIB, -1000, GROWTH / MIB, f"growth by {3 * CHURN} connections, in MiB")
        within((before - self._resident) / MIB, -1000, SPACE / MIB, "growth by all scenarios, in MiB")

    async def _churn(self) -> None:
        token = (await self._admin.call("auth.generateToken", entity_id="churn.*"))["token"]
        clients = [await Lean("127.0.0.2").open(self._gateway.port) for _ in range(CHURN)]
        for number, client in enumerate(clients):
            await client.authenticate(token, f"churn.{number % 50}")
            await client.call("channel.subscribe", channel="churn")
        await clients[0].call("channel.publish", channel="churn", message="x" * 1000)
        for client in clients:
            await client.close()
        await asyncio.sleep(0.2)

    async def _no_complaints(self) -> None:
        """No line of level error or critical, and so no -32603 either: each of those leaves one."""
        since, self._logged = self._logged, self._gateway.logged
        equal(self._gateway.complaints(since), [], "lines of the log above the level warn")
        equal(self._gateway.running, True, "whether the process is alive")


async def _settle(look: Callable[[], Awaitable[Any]], expected: Any, what: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := await look()) != expected and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    equal(left, expected, f"{what}, after {seconds:g} s")
