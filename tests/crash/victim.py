"""The gateway that is killed: one state folder, many processes."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.crash.wire import Violation
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE, TWISTD, Process, environment


class Victim:
    """A gateway's folder, and the process that has it.

    @param rules: C{[[channels]]} tables of its configuration.
    @param port: 0 lets the system choose, at each start anew.
    @ivar process: the newest.
    @ivar port: that of the newest process that has said it.
    """

    def __init__(self, folder: Path, rules: str, port: int = 0) -> None:
        self.state = folder / "state"
        folder.mkdir(exist_ok=True)
        self._config = folder / "gateway.toml"
        self._config.write_text(rules)
        self._wanted_port = port
        self.port = port
        self.process: Process | None = None

    def launch(self) -> Process:
        """Start a process, which does not serve yet."""
        where = ["--host", "127.0.0.1", "--port", str(self._wanted_port), "--state-dir", self.state]
        command = [*TWISTD, "--config", self._config, *where]
        self.process = Process(command, environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN), self.state.parent)
        return self.process

    def start(self) -> int:
        """Start a process, and wait until it serves.

        @return: its port.
        @raise Violation: it does not.
        """
        process = self.launch()
        try:
            self.port = int(process.wait_for(r"listening on 127\.0\.0\.1 port (\d+)")[1])
        except AssertionError as problem:
            raise Violation(f"the gateway does not start: {problem}") from None
        return self.port

    def kill(self) -> None:
        """SIGKILL, and wait for the end. Until then it must have run, and have had nothing to complain of."""
        assert self.process is not None
        self.process.kill()
        self._look_at_output()
        if (status := self.process.wait()) != -signal.SIGKILL:
            raise Violation(f"the gateway ended by itself, with status {status}:\n{self.process.output}")

    def stop(self) -> None:
        """SIGTERM, and wait for the end, which must be an orderly one."""
        assert self.process is not None
        self.process.signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE)
        self.process.kill()
        self._look_at_output()
        if status:
            raise Violation(f"the gateway ended with status {status} after SIGTERM:\n{self.process.output}")

    def end(self) -> None:
        """Leave no process behind."""
        if self.process is not None:
            self.process.kill()

    def _look_at_output(self) -> None:
        assert self.process is not None
        if re.search(r"Traceback|\[(?:error|critical)\]", self.process.output):
            raise Violation(f"the gateway's log has an error:\n{self.process.output}")
