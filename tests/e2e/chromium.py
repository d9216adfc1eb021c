"""Chromium without a window, told what to do by its DevTools protocol."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from websockets.sync.client import connect

from tests.e2e.processes import PATIENCE, Process, environment, eventually

FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


class Tab:
    """A page in a browser of its own.

    @param binary: the browser.
    @param folder: where it may keep what it likes.
    @param url: what is opened.
    @param flags: more of the browser's.
    @ivar complaints: what the browser itself has written to the console: errors, refused connections.
    """

    def __init__(self, binary: str, folder: Path, url: str, *flags: str) -> None:
        self.complaints: list[str] = []
        self._printed: list[list[dict[str, Any]]] = []
        self._ids = itertools.count(1)
        self._process = Process([binary, *FLAGS, *flags, f"--user-data-dir={folder}"], environment(), folder)
        try:
            address = self._process.wait_for(r"^DevTools listening on (ws://.*)$")[1]
            self._devtools = connect(address, max_size=None, proxy=None, compression=None).__enter__()
        except BaseException:
            self._process.kill()
            raise
        self._session: str | None = None
        target = self.command("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.command(f"{domain}.enable")
        self.command("Page.navigate", url=url)
        self._wait_for(lambda message: message.get("method") == "Page.loadEventFired", "the page")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._devtools.__exit__(None, None, None)
        self._process.kill()

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command.

        @return: its result.
        """
        command = {"id": next(self._ids), "method": method, "params": params}
        self._devtools.send(json.dumps(command | ({"sessionId": self._session} if self._session else {})))
        message = self._wait_for(lambda message: message.get("id") == command["id"], method)
        assert "result" in message, f"{method}: {message}"
        result: dict[str, Any] = message["result"]
        return result

    def console(self, lines: str) -> Any:
        """Run lines as if they were pasted into the console.

        @return: the value of the last one, awaited.
        """
        done = self.command("Runtime.evaluate", expression=lines, replMode=True, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def printed(self) -> list[str]:
        """What C{console.log} has printed so far, a line each; objects are JSON."""
        self.console("0")  # what has happened until now comes before its answer
        return [" ".join(map(self._shown, values)) for values in list(self._printed)]

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line is printed.

        @param pattern: a regular expression, found in one line.
        """
        found: re.Match[str] = eventually(
            lambda: next((match for line in self.printed() if (match := re.search(pattern, line))), None),
            f"{pattern}, beside {self.complaints},",
        )
        return found

    def _shown(self, value: dict[str, Any]) -> str:
        if "objectId" not in value:
            return str(value.get("value"))
        how = {"functionDeclaration": "function() { return JSON.stringify(this); }", "returnByValue": True}
        return str(self.command("Runtime.callFunctionOn", objectId=value["objectId"], **how)["result"].get("value"))

    def _wait_for(self, wanted: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            message: dict[str, Any] = json.loads(self._devtools.recv(PATIENCE))
            if message.get("method") == "Log.entryAdded":
                self.complaints.append(message["params"]["entry"]["text"])
            elif message.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(str(message["params"]["exceptionDetails"]))
            elif message.get("method") == "Runtime.consoleAPICalled":
                self._printed.append(message["params"]["args"])
            if wanted(message):
                return message
        raise AssertionError(f"{what} did not come")
