"""The samples of deploy/ for reverse proxies, run as they stand: only ports and the places of certificates differ."""

from __future__ import annotations

import os
import re
import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.e2e.clients import Client, trusting
from tests.e2e.processes import CHECKOUT, PATIENCE, Outcome, Process, environment, eventually, run_to_end

SOCKET: Final = "/run/cell0gw/gateway.sock"
"""Where a Unix socket is in the samples and in the documentation."""
SITE: Final = "gateway.example.com"
"""What the samples call the gateway."""
DEPLOY: Final = CHECKOUT / "deploy"
PLACES: Final = {
    "gateway": r"\b18801\b",
    "tls": r"(?<=[ :*])443\b",
    "plain": r"\b8080\b",
    "certificate": r"/etc/\w+/tls/\w+\.pem",
    "timeout": r"\b120(?=s?\b)",
}
"""What of a sample is another one here."""


class Software(NamedTuple):
    """A proxy, and how it is run.

    @ivar sample: below deploy/.
    @ivar program: its name, in the packages that have it.
    @ivar frame: the configuration that the sample is part of, as its head says, C{{sample}} being where it is and
        C{{folder}} a folder to write to; empty: the sample is all of it.
    @ivar check: what lints the configuration, C{{main}}, that is, the frame, or the sample where there is none.
    @ivar run: what serves by it, in the foreground.
    """

    sample: str
    program: str
    frame: str
    check: str
    run: str

    def __str__(self) -> str:
        return self.program


NGINX: Final = """
daemon off; user root; pid {folder}/pid; error_log stderr; worker_processes 1;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    include {sample};
}}
"""
HAPROXY: Final = """
global
    log stderr format raw local0
defaults
    log global
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
"""
"""As Debian has it, but for the log and what takes root."""
APACHE: Final = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
DefaultRuntimeDir {folder}
ErrorLog /dev/stderr
TypesConfig /dev/null
{modules}
User www-data
Group www-data
Listen 127.0.0.1:443
Include {sample}
"""
SOFTWARE: Final = (
    Software("nginx/cell0gw.conf", "nginx", NGINX, "-t -e stderr -c {main}", "-e stderr -c {main}"),
    Software("haproxy/cell0gw.cfg", "haproxy", HAPROXY, "-c -f {main} -f {sample}", "-db -f {main} -f {sample}"),
    Software(
        "caddy/Caddyfile",
        "caddy",
        "",
        "validate --adapter caddyfile --config {main}",
        "run --adapter caddyfile --config {main}",
    ),
    Software("apache/cell0gw.conf", "apache2", APACHE, "-t -f {main}", "-DFOREGROUND -f {main}"),
)
PASSING: Final = Software("haproxy/cell0gw-tcp.cfg", *SOFTWARE[1][1:])
"""HAProxy that passes TLS on, with the PROXY protocol."""
MODULES: Final = Path("/etc/apache2/mods-available")
"""Where Debian says how a module of Apache's is loaded, and which it needs."""


def program(name: str) -> str | None:
    """Where a program is, also one for administrators; None: it is not installed."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/local/sbin:/usr/sbin")


def why_not(software: Software) -> str | None:
    """Why it can't be run here; None: it can."""
    if program(software.program) is None:
        return f"{software.program} is not installed"
    if software.program == "apache2" and not MODULES.is_dir():
        return "this is not Debian's Apache, whose commands the sample's head has"
    if software.frame and "root" in software.frame and os.getuid() != 0:
        return f"{software.program} is run by root"
    return None


def modules(sample: str) -> str:
    """The lines that load the modules which the head of Apache's sample enables, and those that these need."""
    (wanted,) = re.findall(r"^# +a2enmod (.*)$", sample, re.MULTILINE)
    loaded: dict[str, str] = {}

    def load(name: str) -> None:
        if name not in loaded:
            text = (MODULES / f"{name}.load").read_text()
            for needed in re.findall(r"^# Depends: (.*)$", text, re.MULTILINE):
                for other in needed.split():
                    load(other)
            loaded[name] = text

    for name in ("mpm_event", "authz_core", *wanted.split()):
        load(name)
    return "".join(loaded.values())


def on_socket(sample: str, path: Path) -> str:
    """A sample with the gateway on a Unix socket, in the way that a comment in it says."""
    (written,) = re.findall(rf"\bunix\S?{re.escape(SOCKET)}", sample)
    return sample.replace("127.0.0.1:18801", written.replace(SOCKET, str(path)))


def changed(text: str, changes: Mapping[str, str]) -> str:
    """A text with others in place of some."""
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def free_port() -> int:
    """A port at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Proxy:
    """A proxy with the sample of deploy/, on ports of its own.

    @param certificate: the file with the certificate of L{SITE} and its key.
    @param gateway: its port, or its Unix socket, for which the sample has a line in a comment.
    @param timeout: seconds, for those of the sample's that are to be longer than heartbeats.
    @param changes: what else is another text in the configuration, by what stands there.
    """

    def __init__(
        self,
        software: Software,
        folder: Path,
        certificate: Path,
        gateway: int | Path,
        timeout: int | None = None,
        changes: Mapping[str, str] | None = None,
    ) -> None:
        self.software = software
        self.tls, self.plain = free_port(), free_port()
        self._certificate = certificate
        folder.mkdir()
        self._folder = folder
        text = (DEPLOY / software.sample).read_text("utf-8")
        if isinstance(gateway, Path):
            text = on_socket(text, gateway)
        places = {"gateway": gateway, "tls": self.tls, "plain": self.plain, "certificate": certificate}
        for what, replacement in (places | ({} if timeout is None else {"timeout": timeout})).items():
            text = re.sub(PLACES[what], str(replacement), text)
        text = changed(text, changes or {})
        self._sample = self._main = folder / Path(software.sample).name
        self._sample.write_text(text)
        self._ports = [port for port in (self.tls, self.plain) if str(port) in text]
        if software.frame:
            self._main = folder / "frame"
            loads = modules(text) if software.program == "apache2" else ""
            frame = software.frame.format(sample=self._sample, folder=folder, modules=loads)
            self._main.write_text(changed(re.sub(PLACES["tls"], str(self.tls), frame), changes or {}))

    def command(self, words: str) -> list[str]:
        """One of the commands of its software."""
        path = program(self.software.program)
        assert path is not None
        return [path, *words.format(main=self._main, sample=self._sample).split()]

    def check(self) -> Outcome:
        """Lint the configuration."""
        return run_to_end(self.command(self.software.check), self._environment(), self._folder)

    @contextmanager
    def running(self) -> Iterator[Process]:
        """Serve by it."""
        process = Process(self.command(self.software.run), self._environment(), self._folder)
        try:
            for port in self._ports:
                eventually(lambda port=port: not process.running or _listens(port), f"port {port}")
            assert process.running, process.output
            yield process
            assert process.running, process.output
        finally:
            process.signal()
            process.wait()
            process.kill()

    def url(self, scheme: str, path: str) -> str:
        """Where clients find something.

        @param scheme: C{ws} or C{http}, with an s for TLS.
        """
        return f"{scheme}://{SITE}:{self._port(scheme)}{path}"

    def connect(
        self,
        token: str | None = None,
        scheme: str = "wss",
        path: str = "/ws",
        source: str = "127.0.0.1",
        **options: Any,
    ) -> Client:
        """A client of the gateway's that comes by way of the proxy.

        @param source: the address from which it connects.
        """
        url = self.url(scheme, path)
        context: ssl.SSLContext | None = trusting(self._certificate) if scheme == "wss" else None
        place = ("127.0.0.1", self._port(scheme))
        opened = socket.create_connection(place, PATIENCE, source_address=(source, 0))
        try:
            return Client(Elsewhere(url), token, sock=opened, ssl=context, **options)
        except BaseException:
            opened.close()
            raise

    def get(self, path: str, scheme: str = "https", *options: str) -> str:
        """What curl gets: the status and the body, with a blank between them."""
        curl = [
            "curl",
            "--silent",
            "--cacert",
            str(self._certificate),
            "--write-out",
            r"\n%{http_code}",
            "--noproxy",
            "*",
        ]
        for port in (self.tls, self.plain):
            curl += ["--resolve", f"{SITE}:{port}:127.0.0.1"]
        body, _, status = run_to_end(
            [*curl, *options, self.url(scheme, path)], environment(), self._folder
        ).output.rpartition("\n")
        return f"{status} {body.strip()}"

    def _port(self, scheme: str) -> int:
        return self.tls if scheme in {"wss", "https"} else self.plain

    def _environment(self) -> dict[str, str]:
        # Caddy keeps its own state in these, and listens for its administration on a fixed port unless told otherwise.
        home = str(self._folder)
        return environment(
            HOME=home, XDG_CONFIG_HOME=home, XDG_DATA_HOME=home, CADDY_ADMIN=f"unix/{self._folder}/admin.sock"
        )


class Elsewhere(NamedTuple):
    """A gateway as clients know it: by a URL."""

    url: str


def _listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
