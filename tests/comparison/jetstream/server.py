"""A nats-server with JetStream on disk, and clients of it that can be used without asyncio."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Coroutine
from pathlib import Path
from threading import Thread
from typing import Any, Final, TypeVar

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from tests.e2e.processes import BIN, PATIENCE, Process, environment

Value = TypeVar("Value")
PASSWORD: Final = "comparison"
CONFIGURATION: Final = """
host: 127.0.0.1
port: {port}
max_pending: 1MiB
jetstream {{ store_dir: "{folder}/jetstream" }}
accounts {{ AGENTS {{ jetstream: enabled, users: [
{users}
] }} }}
"""


class Server:
    """A folder, and the process that has it.

    @ivar port: where it serves, each time.
    """

    def __init__(self, folder: Path, users: tuple[str, ...]) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._config = folder, folder / "nats.conf"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.configure(users)
        self.start()

    def configure(self, users: tuple[str, ...]) -> None:
        """Write the file with the users."""
        listed = "\n".join(f'  {{user: {user}, password: "{PASSWORD}"}}' for user in users)
        self._config.write_text(CONFIGURATION.format(port=self.port, folder=self._folder, users=listed))

    def start(self) -> None:
        """Start a process, and wait until it serves."""
        self.process = Process([BIN / "nats-server", "--config", self._config], environment(), self._folder)
        try:
            self.process.wait_for("Server is ready")
        except BaseException:
            self.process.kill()
            raise

    def reload(self) -> None:
        """Have it read its file again."""
        self.process.signal(signal.SIGHUP)
        self.process.wait_for("Reloaded server configuration")

    def kill(self) -> None:
        """SIGKILL, and the next process."""
        self.process.signal(signal.SIGKILL)
        assert self.process.wait() == -signal.SIGKILL, self.process.output
        self.process.kill()
        self.start()


class Asyncio:
    """An event loop on a thread of its own, for as long as the program runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        Thread(target=self._loop.run_forever, daemon=True).start()

    def run(self, awaited: Coroutine[Any, Any, Value], seconds: float = 2 * PATIENCE) -> Value:
        """Wait for something."""
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(seconds)


LOOP: Final = Asyncio()


async def quiet(error: Exception) -> None:
    """What a client is told beside what it asked; without this nats-py logs it."""


class Connection:
    """A connection, with JetStream."""

    def __init__(self, port: int, user: str, **options: Any) -> None:
        self.client: Client = LOOP.run(
            nats.connect(f"nats://127.0.0.1:{port}", user=user, password=PASSWORD, **{"error_cb": quiet} | options)
        )
        self.stream: JetStreamContext = self.client.jetstream()

    def close(self) -> None:
        """Go away in an orderly way."""
        LOOP.run(self.client.close())
