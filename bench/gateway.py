"""A gateway process that is measured."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from bench.certificate import make_certificate
from bench.load import Connection, keep_busy, processor_seconds

TOKEN = f"cell0_{'bench' * 8}_1700000000"
UNLIMITED = {"CELL0_GATEWAY_CALLS_PER_SECOND": "0", "CELL0_GATEWAY_ENTITY_CALLS_PER_SECOND": "0"}
"""How fast the gateway is shall be seen, not how fast it lets one client be."""

RULES = """
[[channels]]
pattern = "durable.>"
durable = true
"""


class Gateway:
    """A gateway process of its own, on a free port and in a folder that goes with it.

    @param tls: whether it speaks TLS.
    """

    def __init__(self, tls: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._certificate = make_certificate(pathlib.Path(self._folder.name)) if tls else None

    def __enter__(self) -> Gateway:
        pathlib.Path(self._folder.name, "bench.toml").write_text(RULES)
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        folder = pathlib.Path(self._folder.name)
        log = folder / "log"
        pin = ["taskset", "-c", "0"] if (os.cpu_count() or 1) > 1 and sys.platform == "linux" else []
        options = ["--host", "127.0.0.1", "--port", "0", "--state-dir", self._folder.name]
        options += ["--config", str(folder / "bench.toml")]
        if self._certificate is not None:
            options += ["--tls-cert", str(self._certificate)]
        # Into a file: a pipe that nobody reads would fill, and stop the gateway.
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*pin, sys.executable, "-m", "cell0gw", *options],
                stdout=output,
                env={**os.environ, "CELL0_GATEWAY_ADMIN_TOKEN": TOKEN, **UNLIMITED},
            )
        while not (found := re.search(r"listening on \S+ port (\d+)", log.read_text())):
            if self.process.poll() is not None:
                raise SystemExit(f"the gateway did not start: {log.read_text()}")
            time.sleep(0.05)
        self.port = int(found[1])

    def stop(self) -> None:
        """Stop the process; what it keeps stays for the next."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def client(self, compressed: bool = False) -> Connection:
        """A client that has authenticated."""
        connection = Connection(self.port, compressed, self._certificate)
        connection.call("auth.authenticate", token=TOKEN)
        return connection

    def mint(self, entity_id: str) -> str:
        """A token for an entity, or for a pattern of them."""
        answer = self.client().ask("auth.generateToken", entity_id=entity_id)
        return str(answer["token"])

    def named(self, token: str, entity_id: str, kind: type[Connection] = Connection, **declared: Any) -> Any:
        """A client that has authenticated as someone."""
        connection = kind(self.port, False, self._certificate)
        connection.call("auth.authenticate", token=token, entity_id=entity_id, **declared)
        return connection


def busy(
    gateway: Gateway,
    senders: list[Connection],
    receivers: list[Connection],
    frame: Callable[[int], bytes],
    window: int,
    seconds: float,
    unit: str,
) -> dict[str, float]:
    """Load it, and divide by what was done."""
    used = processor_seconds(gateway.process.pid)
    done = keep_busy(senders, receivers, frame, window, seconds)
    used = processor_seconds(gateway.process.pid) - used
    return {
        "per_second": done[unit] / done["seconds"],
        "cpu_us": used / max(done[unit], 1) * 1e6,
        "p50_ms": done["p50_ms"],
        "p99_ms": done["p99_ms"],
    }
