"""The gateway under stress: one process, with limits that can be reached."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any, Final

from tests.e2e.processes import ADMIN_TOKEN, TWISTD, GatewayProcess, environment, eventually

HOST: Final = "stress.test"
ORIGIN: Final = "https://console.test"
PROXY: Final = "127.254.0.1"
"""The address of the one proxy that is trusted."""

KIB: Final = 1024
LIMITS: Final[dict[str, Any]] = {
    "heartbeat_interval": 1,
    "heartbeat_timeout": 4,
    "auth_timeout": 2,
    "resume_window": 5,
    "max_message_size": 256 * KIB,
    "max_batch": 50,
    "max_subscriptions": 50,
    "max_errors": 50,
    "max_connections": 1200,
    "max_connections_per_address": 700,
    "max_unauthenticated": 600,
    "max_unauthenticated_per_address": 150,
    "calls_per_second": 2000,
    "calls_burst": 1000,
    "entity_calls_per_second": 3000,
    "entity_calls_burst": 1500,
    "outbound_limit": 128 * KIB,
    "total_outbound_limit": 2048 * KIB,
    "mailbox_messages": 600,
    "history_bytes": 1024 * KIB,
    "total_history_bytes": 16 * 1024 * KIB,
    "allowed_origins": [ORIGIN],
    "trusted_proxies": [PROXY],
}
RULES: Final = """
[[channels]]
pattern = "*.durable"
durable = true

[[channels]]
pattern = "*.short"
history_size = 5

[[channels]]
pattern = "*.long"
history_size = 100_000

[[channels]]
pattern = "storm.>"
history_size = 100_000
"""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class StressedGateway(GatewayProcess):
    """Logs JSON, into a file: it must not have to wait until a busy test reads a pipe. What it logs, holds and has open
    can be looked at from outside.
    """

    def __init__(self, folder: Path, options: dict[str, Any] = LIMITS, rules: str = RULES, *flags: str) -> None:
        config, port = folder / "gateway.toml", free_port()
        self._log = folder / "gateway.log"
        # A client names the port beside the host, so it must be known before.
        hosts = {"allowed_hosts": ["localhost", f"{HOST}:{port}"]} if options else {}
        given = [f"{name} = {json.dumps(value)}" for name, value in (options | hosts).items()]
        config.write_text("\n".join(["[gateway]", *given, rules]))
        super().__init__(
            *("--config", str(config), "--log-format", "json", "--port", str(port), *flags),
            state_dir=folder / "state",
            env=environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN),
            command=("sh", "-c", 'exec "$@" >"$0" 2>&1', self._log, *TWISTD),
        )

    @property
    def output(self) -> str:
        """See L{Process.output}."""
        return self._log.read_text() if self._log.exists() else ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """See L{Process.wait_for}."""
        match = eventually(lambda: re.search(pattern, self.output) or not self.running, pattern)
        assert match is not True, self.output
        found: re.Match[str] = match
        return found

    @property
    def resident(self) -> int:
        """How many bytes of memory it has."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * KIB

    @property
    def processor(self) -> tuple[float, float]:
        """For how many seconds its main thread has run, and for how many it wanted to while others did."""
        ran, waited, _ = Path(f"/proc/{self.pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9

    @property
    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    @property
    def logged(self) -> int:
        """How many lines it has logged."""
        return self.output.count("\n")

    def log(self, since: int = 0) -> list[dict[str, Any]]:
        """What it has logged, from that line on."""
        lines = self.output.splitlines()[since:]
        return [json.loads(line) if line.startswith("{") else {"message": line} for line in lines]

    def complaints(self, since: int = 0) -> list[str]:
        """What it has logged that is a fault of its own, or is no line of its log at all."""
        return [
            f"{line.get('level')}: {line['message']} {line.get('traceback', '')}"
            for line in self.log(since)
            if line.get("level") not in ("debug", "info", "warn")
        ]
