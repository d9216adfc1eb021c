"""A client that is running: a program of C{programs}, or a page in Chromium."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.clients.place import Place
from tests.e2e.chromium import Tab
from tests.e2e.processes import CHECKOUT, PATIENCE, Process, environment

PROGRAMS: Final = CHECKOUT / "tests" / "clients" / "programs"


class Peer(Protocol):
    """A client that has been told to connect; see C{programs} for what it prints."""

    def send(self, text: str) -> None:
        """Send a message."""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until it has printed such a line.

        @raise AssertionError: it won't.
        """

    def kill(self) -> None:
        """End it."""


class ProgramPeer:
    """One of C{programs}.

    @param command: what runs it, the URL being added.
    @param variables: of its environment.
    """

    def __init__(self, command: list[str | Path], url: str, folder: Path, variables: dict[str, str]) -> None:
        env = environment(**{"PYTHONPATH": str(CHECKOUT)} | variables)
        self._process = Process([*command, url], env, folder)

    def send(self, text: str) -> None:
        self._process.type(text)

    def wait_for(self, pattern: str) -> re.Match[str]:
        process = self._process
        wanted = re.compile(pattern)

        def arrived() -> re.Match[str] | None:
            return next((match for line in process.lines if (match := wanted.search(line))), None)

        found = None
        try:
            found = process.wait_until(arrived, pattern, PATIENCE)
        except AssertionError:
            lines = [line[:200] for line in process.lines[-3:]]
            raise AssertionError(f"{pattern} did not come; it said {lines}") from None
        assert isinstance(found, re.Match)
        return found

    def kill(self) -> None:
        self._process.kill()


class PagePeer:
    """A page in Chromium.

    @param binary: Chromium.
    @param served: whether the page comes from the place that it connects to, so over the same HTTP/2 if there is one.
    """

    def __init__(self, binary: str, place: Place, served: bool) -> None:
        profile = Path(tempfile.mkdtemp(prefix="chromium-", dir=place.folder))
        page = place.url("http", "/health") if served else "about:blank"
        self._tab = Tab(binary, profile, page, *chromium_flags(place))
        self._tab.console((PROGRAMS / "speak.js").read_text())
        self._tab.console(f"var socket = new WebSocket({json.dumps(place.url())}); speak(socket);")

    def send(self, text: str) -> None:
        self._tab.console(f"socket.send({json.dumps(text)})")

    def wait_for(self, pattern: str) -> re.Match[str]:
        return self._tab.wait_for(pattern)

    def kill(self) -> None:
        self._tab.__exit__(None, None, None)


def chromium_flags(place: Place) -> list[str]:
    """What has Chromium trust one certificate and speak one version of TLS."""
    flags = []
    if place.certificate is not None:
        key = x509.load_pem_x509_certificate(place.certificate.read_bytes()).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pinned = base64.b64encode(hashlib.sha256(spki).digest()).decode()
        flags.append(f"--ignore-certificate-errors-spki-list={pinned}")
    if place.tls is not None:
        flags += [f"--ssl-version-min=tls{place.tls}", f"--ssl-version-max=tls{place.tls}"]
    return flags
