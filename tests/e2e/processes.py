"""Processes under test: started, waited for by what they print, and ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Condition, Thread
from typing import Any, Final, NamedTuple

BIN: Final = Path(sys.executable).parent
CHECKOUT: Final = Path(__file__).parents[2]
TWISTD: Final = (BIN / "twistd", "-n", "--pidfile=", "cell0gw")
ADMIN_TOKEN: Final = "cell0_EndToEndEndToEndEndToEndEndToEndEndToEnd123_1770892200"
PATIENCE: Final = 30.0
"""How many seconds anything is waited for that will come; a busy machine may need many of them."""


OF_MAKE: Final = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTEST", "PYTHON", "VENV"}
"""What make tells those that it runs, such as these tests, and what would change how another make behaves."""


def environment(**variables: str | None) -> dict[str, str]:
    """The environment of this process without what configures a gateway or make, and with these variables.

    @param variables: None removes one.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("CELL0_") and name not in {"STATE_DIRECTORY", "XDG_STATE_HOME", *OF_MAKE}
    }
    changed = inherited | {"PYTHONUNBUFFERED": "1"} | variables
    return {name: value for name, value in changed.items() if value is not None}


class Process:
    """A process whose output, standard error included, is read all the time.

    @param pass_fds: descriptors that it inherits.
    @ivar lines: what it has printed so far.
    """

    def __init__(
        self, command: Iterable[str | Path], env: dict[str, str], cwd: Path, pass_fds: Sequence[int] = ()
    ) -> None:
        self.lines: list[str] = []
        self._ended = False
        self._changed = Condition()
        self._process = subprocess.Popen(
            [str(word) for word in command],
            env=env,
            cwd=cwd,
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """All of it, as one text."""
        return "\n".join(self.lines)

    def wait_until(self, arrived: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """Wait until its output is as wanted.

        @param arrived: called whenever something was printed; true ends the wait.
        @param seconds: how long that may take.
        @return: what C{arrived} returned last.
        @raise AssertionError: the process has ended, or time is up.
        """
        with self._changed:
            self._changed.wait_for(lambda: arrived() or self._ended, seconds)
            outcome = arrived()
        assert outcome, f"{what} did not come; its output was:\n{self.output}"
        return outcome

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """Wait until it prints something.

        @param pattern: a regular expression, found in one line.
        @param seconds: how long that may take.
        """

        def arrived() -> re.Match[str] | None:
            return next((match for line in self.lines if (match := re.search(pattern, line))), None)

        match: re.Match[str] = self.wait_until(arrived, pattern, seconds)
        return match

    def type(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end.

        @return: its exit status.
        """
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended after {seconds} s; its output was:\n{self.output}") from None
        self._reader.join()
        return status

    def kill(self) -> None:
        """End it whatever it does, and close the pipes."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.removesuffix("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class Address(NamedTuple):
    """Where a gateway serves that is not a L{GatewayProcess}."""

    port: int
    scheme: str = "ws"

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"{self.scheme}://127.0.0.1:{self.port}"


class GatewayProcess(Process):
    """A gateway that serves on a port of 127.0.0.1, or wherever else it is told to.

    @param state_dir: its state folder.
    @param env: its environment.
    @param place: False leaves out the flags for host, port and state folder: C{env} says where they are.
    @ivar port: the port it is bound to; 0: a Unix socket is the first place where it listens.
    """

    def __init__(
        self,
        *flags: str,
        state_dir: Path,
        env: dict[str, str],
        command: Iterable[str | Path] = TWISTD,
        place: bool = True,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.state_dir = state_dir
        where = ["--host", "127.0.0.1", "--port", "0", "--state-dir", state_dir] if place else []
        super().__init__([*command, *where, *flags], env, state_dir.parent, pass_fds)
        try:
            self.port = int(self.wait_for(r"listening on (?:[0-9a-f.:]+ port (\d+)|/)")[1] or 0)
        except BaseException:
            self.kill()
            raise

    @property
    def url(self) -> str:
        """Where clients connect."""
        return Address(self.port).url

    def stop(self) -> None:
        """SIGTERM, unless it has ended already; the exit status must be 0."""
        if self.running:
            self.signal()
            status = self.wait()
            assert status == 0, f"exit status {status} after SIGTERM; its output was:\n{self.output}"


class Outcome(NamedTuple):
    """What became of a process: its exit status, all it printed, and how many seconds it took."""

    status: int
    output: str
    seconds: float


def eventually(arrived: Callable[[], Any], what: str) -> Any:
    """Look until something is so.

    @return: what C{arrived} returned last, which is true.
    @raise AssertionError: time is up.
    """
    deadline = time.monotonic() + PATIENCE
    while not (outcome := arrived()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
    return outcome


def run_to_end(command: Iterable[str | Path], env: dict[str, str], cwd: Path) -> Outcome:
    """Run something that ends by itself.

    @raise subprocess.TimeoutExpired: it did not.
    """
    began = time.monotonic()
    done = subprocess.run(
        [str(word) for word in command],
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, time.monotonic() - began)
