"""The clients: what each is, how it is run here, and what it can't do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from tests.clients import go
from tests.clients.peers import PROGRAMS, PagePeer, Peer, ProgramPeer
from tests.clients.place import Place
from tests.e2e.node import node_22, node_modules

CA_OF_NODE: Final = "NODE_EXTRA_CA_CERTS"


class Client(NamedTuple):
    """A client.

    @ivar why_not: why it can't be run here; None: it can, for all that is known before it is installed.
    @ivar prepare: installs it, and says its version.
    @ivar connect: has it connect; its second parameter is whether a page may be asked for first.
    @ivar compresses: whether it can.
    @ivar silent: it can only connect.
    @ivar note: what is to be known of it; of one that is silent, why.
    """

    name: str
    why_not: Callable[[], str | None]
    prepare: Callable[[], str]
    connect: Callable[[Place, bool], Peer]
    compresses: bool = True
    silent: bool = False
    note: str = ""


def said_by(*command: str | Path) -> str:
    """The first version that a command tells."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"


def needs(*programs: str) -> Callable[[], str | None]:
    """Why a client that needs programs can't be run."""
    return lambda: next((f"there is no {name} on this machine" for name in programs if not shutil.which(name)), None)


def variables(place: Place, ca: str) -> dict[str, str]:
    """The environment of a program.

    @param ca: the variable that says whom it trusts.
    """
    trusted = {} if place.certificate is None else {ca: str(place.certificate)}
    return trusted | ({} if place.tls is None else {"CLIENT_TLS": place.tls})


def program(
    name: str,
    why_not: Callable[[], str | None],
    prepare: Callable[[], str],
    command: Callable[[], list[str | Path]],
    ca: str = "CLIENT_CA",
    compresses: bool = True,
    note: str = "",
) -> Client:
    """A client that is one of C{programs}.

    @param command: what runs it, without the URL.
    @param ca: the variable that says whom it trusts.
    """
    connect = lambda place, _: ProgramPeer(command(), place.url(), place.folder, variables(place, ca))  # noqa: E731
    return Client(name, why_not, prepare, connect, compresses, note=note)


def python(distribution: str, compresses: bool = True) -> Client:
    """A library for Python, in the program named as it is."""
    module = "python_" + distribution.replace("-", "_")
    imported = distribution.replace("-client", "").replace("-", "_")
    missing = f"{distribution} is not installed: pip install {distribution}"
    return program(
        distribution,
        lambda: None if importlib.util.find_spec(imported) else missing,
        lambda: importlib.metadata.version(distribution),
        lambda: [sys.executable, "-m", f"tests.clients.programs.{module}"],
        compresses=compresses,
    )


def node(library: str, compresses: bool = True) -> Client:
    """A library for Node, from npm; C{node}: what Node itself has."""

    def prepare() -> str:
        if library == "node":
            return said_by(node_22(), "--version")
        package = json.loads((node_modules(library) / library / "package.json").read_text())
        return str(package["version"])

    def connect(place: Place, _: bool) -> Peer:
        binary = node_22() if library == "node" else Path("node")
        tls = [] if place.tls is None else [f"--tls-min-v{place.tls}", f"--tls-max-v{place.tls}"]
        modules = {} if library == "node" else {"NODE_PATH": str(node_modules(library))}
        command = [binary, *tls, PROGRAMS / "node.cjs", library]
        return ProgramPeer(command, place.url(), place.folder, variables(place, CA_OF_NODE) | modules)

    return Client(library, needs("node", "npm"), prepare, connect, compresses)


def page() -> Client:
    """Chromium."""

    def connect(place: Place, served: bool) -> Peer:
        return PagePeer(shutil.which("chromium") or "", place, served)

    return Client("chromium", needs("chromium"), lambda: said_by("chromium", "--version"), connect)


def curl() -> Client:
    """The tool, without a library around it."""

    def connect(place: Place, _: bool) -> Peer:
        fields = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        fields.append("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
        tls = [] if place.tls is None else [f"--tlsv{place.tls}", "--tls-max", place.tls]
        trusted = [] if place.certificate is None else ["--cacert", place.certificate]
        headers = [word for field in fields for word in ("-H", field)]
        command = [
            "curl",
            "-sSiN",
            "--max-time",
            "4",
            *(["--http1.1"] if place.http_2 else []),
            *tls,
            *trusted,
            *headers,
        ]
        return ProgramPeer(command, place.url("http"), place.folder, {})

    note = "curl's tool sends no frames: it upgrades, and shows what comes first"
    return Client("curl", needs("curl"), lambda: said_by("curl", "--version"), connect, False, True, note)


def mojolicious() -> Client:
    """Perl's."""

    def why_not() -> str | None:
        if shutil.which("perl"):
            modules = ["-MMojo::UserAgent", "-MIO::Socket::SSL"]
            if not subprocess.run(["perl", *modules, "-e1"], capture_output=True, check=False).returncode:
                return None
        return "it is not installed: apt install libmojolicious-perl libio-socket-ssl-perl"

    return program(
        "mojolicious",
        why_not,
        lambda: said_by("perl", "-MMojolicious", "-e", "print Mojolicious->VERSION"),
        lambda: ["perl", PROGRAMS / "mojolicious.pl"],
        "MOJO_CA_FILE",
    )


def java() -> Client:
    """Java's own, java.net.http.WebSocket."""
    return program(
        "java",
        lambda: None if shutil.which("javac") else "there is no JDK: apt install default-jdk-headless",
        lambda: said_by("java", "-version"),
        lambda: ["java", "-XX:TieredStopAtLevel=1", PROGRAMS / "Client.java"],
        compresses=False,
    )


def in_go(name: str, note: str) -> Client:
    """A library for Go, as Debian has it."""

    def command() -> list[str | Path]:
        return [go.built(name)]

    return program(name, lambda: go.why_not(name), lambda: go.version(name), command, "SSL_CERT_FILE", note=note)


CLIENTS: Final = {
    client.name: client
    for client in (
        page(),
        curl(),
        python("curl-cffi", compresses=False),
        node("ws"),
        node("undici"),
        node("node"),
        node("websocket", compresses=False),
        python("websockets"),
        python("aiohttp"),
        python("websocket-client", compresses=False),
        in_go("gorilla", "github.com/gorilla/websocket, as Debian has it"),
        in_go(
            "nhooyr",
            "github.com/coder/websocket by its former name, as Debian has it; newer ones are in Go's registry only",
        ),
        java(),
        mojolicious(),
    )
}
"""By their names."""
