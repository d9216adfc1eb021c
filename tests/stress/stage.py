"""Scenarios, and what each finds: a gateway, clients of its own, names of its own, and an address of its own."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, NamedTuple

from tests.stress.checks import Failed
from tests.stress.clients import Honest, Lean
from tests.stress.raw import Raw
from tests.stress.victim import StressedGateway

Act = Callable[["Stage"], Awaitable[None]]


class Scenario(NamedTuple):
    """One scenario.

    C{waits}: it does little but wait, and runs beside the others. C{alone}: it uses up what others need.
    """

    name: str
    act: Act
    waits: bool
    alone: bool

    @property
    def about(self) -> str:
        """What it shows."""
        return " ".join((self.act.__doc__ or "").split())


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(*, waits: bool = False, alone: bool = False) -> Callable[[Act], Act]:
    """Makes a scenario of a function; the suite runs them in the order in which they were made."""

    def register(act: Act) -> Act:
        name = getattr(act, "__name__", "")
        SCENARIOS[name] = Scenario(name, act, waits, alone)
        return act

    return register


class Stage:
    """What one run of one scenario has.

    @param number: of this run; no two have the same names and addresses.
    @ivar admin: a connection that may do everything; it stays when this one has left.
    @ivar address: where its clients connect from, unless they say otherwise.
    """

    def __init__(self, gateway: StressedGateway, admin: Lean, name: str, number: int, chance: random.Random) -> None:
        self.gateway = gateway
        self.admin = admin
        self.chance = chance
        self._number = number
        self.prefix = f"{name}-{number}"
        self.address = self.neighbour(1)
        self.logged = gateway.logged
        self._token: str | None = None
        self._clients: list[Any] = []
        self._names = itertools.count(1)

    @property
    def port(self) -> int:
        """Of the gateway."""
        return self.gateway.port

    def neighbour(self, number: int) -> str:
        """One of 250 addresses that no other run has."""
        return f"127.{1 + self._number // 250}.{self._number % 250}.{number}"

    def entity(self, who: str = "someone") -> str:
        """An entity, or a channel, that no other run has."""
        return f"{self.prefix}.{who}"

    channel = entity

    async def mint(self, who: str = ">", **params: Any) -> str:
        """A token of an own kind, from the admin."""
        minted = await self.admin.call("auth.generateToken", entity_id=self.entity(who), **params)
        token: str = minted["token"]
        return token

    async def token(self) -> str:
        """The usual one, good for each of this run's entities."""
        if self._token is None:
            self._token = await self.mint()
        return self._token

    async def honest(
        self, who: str | None = None, token: str | None = None, address: str | None = None, **introduction: Any
    ) -> Honest:
        """A client on `websockets` that has a session."""
        compression = self.chance.choice(("deflate", None))
        client = await Honest(self.port, address or self.address, compression=compression).open()
        self._clients.append(client)
        entity = self.entity(who or f"honest{next(self._names)}")
        client.session = await client.call(
            "auth.authenticate", token=token or await self.token(), entity_id=entity, **introduction
        )
        return client

    async def lean(
        self,
        who: str | None = None,
        heard: Callable[[str, Any], None] | None = None,
        address: str | None = None,
        token: str | None = None,
        **introduction: Any,
    ) -> Lean:
        """A lean client that has a session."""
        token = token or await self.token()
        client = await Lean(address or self.address, heard).open(self.port)
        self._clients.append(client)
        await client.authenticate(token, self.entity(who or f"lean{next(self._names)}"), **introduction)
        return client

    async def crowd(self, count: int, who: str = "crowd", **options: Any) -> list[Lean]:
        """Many lean clients; not so many at a time that they would be taken for a flood."""
        await self.token()
        few = asyncio.Semaphore(40)

        async def one(number: int) -> Lean:
            async with few:
                return await self.lean(f"{who}{number}", **options)

        return list(await asyncio.gather(*(one(number) for number in range(count))))

    def keep(self, client: Any) -> None:
        """Close this one, too, when the run is over."""
        self._clients.append(client)

    def raw(self, address: str | None = None, receive_buffer: int | None = None) -> Raw:
        """A socket that is not connected yet."""
        client = Raw(self.port, address or self.address, receive_buffer)
        self._clients.append(client)
        return client

    async def open(self, address: str | None = None, receive_buffer: int | None = None, **changed: Any) -> Raw:
        """A raw connection after its handshake."""
        return await self.raw(address, receive_buffer).open(**changed)

    async def member(self, who: str | None = None, receive_buffer: int | None = None, **introduction: Any) -> Raw:
        """A raw connection that has a session."""
        client = await self.open(receive_buffer=receive_buffer)
        await client.authenticate(await self.token(), self.entity(who or f"raw{next(self._names)}"), **introduction)
        return client

    async def stats(self, service: str) -> dict[str, int]:
        """The figures of a service."""
        figures: dict[str, int] = (await self.admin.call("gateway.getStats"))["services"][service]
        return figures

    async def present(self) -> dict[str, str]:
        """The statuses of this run's entities that are here."""
        everyone = await self.admin.call("presence.get")
        mine = [entry for entry in everyone if entry["entity_id"].startswith(f"{self.prefix}.")]
        return {entry["entity_id"]: entry["status"] for entry in mine}

    async def eventually(self, look: Callable[[], Awaitable[Any]], expected: Any, what: str, seconds: float) -> None:
        """Ask the gateway until it says what is expected."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (observed := await look()) != expected:
            if asyncio.get_running_loop().time() > deadline:
                raise Failed(f"{what}, after {seconds:g} s\n  expected: {expected}\n  observed: {observed}")
            await asyncio.sleep(0.05)

    async def still_serves(self) -> None:
        """Others are none the worse for it."""
        other = await self.honest(address=self.neighbour(249))
        if (answer := await other.call("rpc.echo", message="well?")) != "well?":
            raise Failed(f"an honest client\n  expected: its echo\n  observed: {answer}")
        await other.close()

    async def leave_but(self, stays: Any) -> None:
        """All but one leave."""
        self._clients.remove(stays)
        await self.leave()
        self._clients.append(stays)

    async def leave(self) -> None:
        """Close what is open still: most with a goodbye, raw ones without."""
        clients, self._clients = self._clients, []
        await together(client.close() for client in clients if not isinstance(client, Raw))
        for client in clients:
            if isinstance(client, Raw):
                client.close()


async def together(works: Iterable[Awaitable[Any]]) -> list[Any]:
    """Do them at the same time."""
    return list(await asyncio.gather(*works))
