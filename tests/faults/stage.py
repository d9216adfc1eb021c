"""What a scenario has: a folder, gateways that end with it, clients, and a way to say what must be so."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from tests.crash.wire import Answer, Connection, Lost, Refused, Violation
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, TWISTD, Process, environment

RULES: Final = """
[[channels]]
pattern = "durable.>"
durable = true
history_size = 1_000_000
"""
DURABLE: Final = "durable.orders"


class Skipped(Exception):
    """This machine, or its user, can't do what the scenario needs."""


def expect(so: Any, what: str) -> None:
    """
    @raise Violation: it is not so.
    """
    if not so:
        raise Violation(what)


async def until(so: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until something is so.

    @return: what C{so} returned last, which is true.
    """
    deadline = time.monotonic() + seconds
    while not (outcome := so()):
        expect(time.monotonic() < deadline, f"after {seconds:.0f} s: {what}")
        await asyncio.sleep(0.02)
    return outcome


class Client(Connection):
    """A client that keeps what comes.

    @ivar events: the C{(method, params)} that came, heartbeats apart.
    @ivar heartbeats: how many came.
    """

    def __init__(self) -> None:
        super().__init__(self._keep)
        self.events: deque[tuple[str, Answer]] = deque()
        self.heartbeats = 0

    def _keep(self, method: str, params: Answer) -> None:
        if method == "heartbeat":
            self.heartbeats += 1
        else:
            self.events.append((method, params))

    def came(self, method: str, type: str | None = None) -> list[Answer]:
        """The params of what came under that name; of events, those of one type only."""
        return [params for name, params in self.events if name == method and type in (None, params.get("type"))]

    async def refusal(self, method: str, **params: Any) -> Refused:
        """Make a call that must be refused."""
        try:
            answer = await self.call(method, **params)
        except Refused as refused:
            return refused
        raise Violation(f"{method} was not refused, but answered {answer}")

    @property
    def there(self) -> bool:
        """Whether it is connected still."""
        return not self.lost.done()


class Patient:
    """A gateway: one state folder, and the process that has it.

    @param under: a command that runs the gateway's, such as one that limits what it may use.
    @param command: the gateway's own.
    """

    def __init__(
        self,
        folder: Path,
        flags: Iterable[str],
        rules: str,
        under: Iterable[str | Path],
        command: Iterable[str | Path],
        variables: dict[str, str],
    ) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._config = folder / "gateway.toml"
        self._config.write_text(rules)
        self._flags = list(flags)
        self._under = [*under, *command]
        self._variables = variables
        self.port = 0
        self.process: Process

    def launch(self) -> Process:
        """Start a process, which does not serve yet."""
        where = ["--config", self._config, "--host", "127.0.0.1", "--port", str(self.port), "--state-dir", self.state]
        env = environment(**{"CELL0_GATEWAY_ADMIN_TOKEN": ADMIN_TOKEN} | self._variables)
        self.process = Process([*self._under, *where, *self._flags], env, self.folder)
        return self.process

    async def start(self) -> None:
        """Start a process, and wait until it serves; on the port of the one before."""
        process = self.launch()
        try:
            match = await asyncio.to_thread(process.wait_for, r"listening on 127\.0\.0\.1 port (\d+)")
        except AssertionError as problem:
            raise Violation(f"the gateway does not start: {problem}") from None
        self.port = int(match[1])

    async def fails_to_start(self) -> str:
        """Start a process that must end by itself, with status 1.

        @return: the one line it says.
        """
        process = self.launch()
        status = await asyncio.to_thread(process.wait)
        lines = [line for line in process.lines if line.startswith("cell0gw: ")]
        expect((status, len(lines)) == (1, 1), f"status {status}, and it said:\n{process.output}")
        expect("Traceback" not in process.output, f"it has a traceback:\n{process.output}")
        return lines[0]

    @property
    def pid(self) -> int:
        """Of the gateway."""
        return self.process._process.pid

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.signal(number)

    async def kill(self) -> None:
        """SIGKILL."""
        await asyncio.to_thread(self.process.kill)

    async def stop(self) -> None:
        """SIGTERM, and wait for the end, which must be an orderly one."""
        if self.process.running:
            self.signal(signal.SIGTERM)
        status = await asyncio.to_thread(self.process.wait)
        expect(status == 0, f"it ended with status {status}:\n{self.process.output[-5000:]}")

    @property
    def lines(self) -> list[str]:
        """What its newest process has printed."""
        return list(self.process.lines)

    def complaints(self, pattern: str = r"\[(error|critical)\]|Traceback") -> list[str]:
        """The lines of its log that look like that."""
        return [line for line in self.lines if re.search(pattern, line)]

    @property
    def memory(self) -> int:
        """How many bytes are resident."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    @property
    def worked(self) -> float:
        """For how many seconds it has had a processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def descriptors(self) -> int:
        """How many files it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Stage:
    """Where one scenario takes place.

    @param chance: decides whatever is left to chance.
    @param short: whether it is to take seconds only.
    """

    def __init__(self, folder: Path, chance: random.Random, short: bool) -> None:
        self.folder = folder
        self.chance = chance
        self.short = short
        self.notes: list[str] = []
        self._patients: list[Patient] = []
        self._clients: list[Client] = []
        self._undo = contextlib.ExitStack()

    def note(self, what: str) -> None:
        """A figure for the summary."""
        self.notes.append(what)

    def at_the_end(self, undo: Callable[[], Any]) -> None:
        """Call this when all processes have ended."""
        self._undo.callback(undo)

    def patient(
        self,
        *flags: str,
        rules: str = RULES,
        folder: Path | None = None,
        under: Iterable[str | Path] = (),
        command: Iterable[str | Path] = TWISTD,
        **variables: str,
    ) -> Patient:
        """A gateway that is not started yet."""
        where = folder or self.folder
        patient = Patient(where, flags, rules, under, command, variables)
        self._patients.append(patient)
        return patient

    async def gateway(self, *flags: str, **facts: Any) -> Patient:
        """A gateway that serves."""
        patient = self.patient(*flags, **facts)
        await patient.start()
        return patient

    async def client(self, patient: Patient, token: str | None = ADMIN_TOKEN, **declared: Any) -> Client:
        """A client; with a token one that is authenticated."""
        client = Client()
        await client.open(patient.port)
        if token is not None:
            await client.call("auth.authenticate", token=token, **declared)
        self._clients.append(client)
        return client

    async def end(self) -> None:
        """Leave no process behind, and nothing mounted."""
        for client in self._clients:
            with contextlib.suppress(Lost):
                client.drop()
        for patient in self._patients:
            if hasattr(patient, "process"):
                await patient.kill()
        self._undo.close()


async def publish(client: Client, numbers: Iterable[int], channel: str = DURABLE, **params: Any) -> list[int]:
    """Publish numbers, one after the other.

    @return: their offsets.
    """
    return [(await client.call("channel.publish", channel=channel, message=n, **params))["offset"] for n in numbers]


async def history(client: Client, channel: str = DURABLE) -> list[tuple[int, Any]]:
    """All that a channel holds: offsets and messages. They must follow each other."""
    found: list[tuple[int, Any]] = []
    since: dict[str, Any] = {}
    while True:
        try:
            page = await client.call("channel.history", channel=channel, limit=1000, **since)
        except Refused as refusal:
            if refusal.code == "not_found":
                return found
            raise
        found += [(each["offset"], each["message"]) for each in page["messages"]]
        if not page["messages"] or found[-1][0] == page["newest"]:
            break
        since = {"since": {"offset": found[-1][0], "epoch": page["epoch"]}}
    offsets = [offset for offset, _ in found]
    expect(offsets == list(range(1, len(offsets) + 1)), f"the offsets of {channel} have a hole: {offsets}")
    return found
