"""The ways to a gateway: with TLS and without, and behind proxies."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from bench.certificate import make_certificate
from tests.clients.conversation import Witness
from tests.clients.place import Place
from tests.e2e.clients import trusting
from tests.e2e.deploy.proxies import SITE, SOFTWARE, Proxy, free_port, why_not
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, Process, environment


class Stage(NamedTuple):
    """A gateway that runs, and how clients get to it.

    @ivar proxy: the proxy; None: there is none.
    @ivar seen: C{HTTP/1.1} and such, with which the proxy says that each WebSocket came that has ended; None: there is
        no proxy.
    """

    gateway: GatewayProcess
    place: Place
    witness: Witness
    seen: Callable[[], list[str]] | None
    proxy: Process | None = None


class Transport(NamedTuple):
    """A way to a gateway.

    @ivar why_not: why there is none here; None: there is.
    @ivar open: starts all that it takes, for which it is given a folder.
    """

    name: str
    about: str
    why_not: Callable[[], str | None]
    open: Callable[[Path], AbstractContextManager[Stage]]


@contextmanager
def gateway(folder: Path, *flags: str) -> Iterator[GatewayProcess]:
    """A gateway, which has ended with status 0, or is killed."""
    env = environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN)
    running = GatewayProcess(*flags, state_dir=folder / "state", env=env)
    try:
        yield running
        running.stop()
    finally:
        running.kill()


def direct(name: str, about: str, tls: str | None = None, listen: bool = False, renewed: bool = False) -> Transport:
    """A port of the gateway's own.

    @param tls: the version of TLS that clients speak; "": any; None: no TLS.
    @param listen: by an endpoint, in place of the option for TLS.
    @param renewed: with another certificate than the gateway had when it started.
    """

    @contextmanager
    def open_it(folder: Path) -> Iterator[Stage]:
        certificate = None if tls is None else make_certificate(folder)
        flags: list[str] = []
        if certificate is not None and listen:
            flags = ["--listen", f"ssl:0:interface=127.0.0.1:privateKey={certificate}"]
        elif certificate is not None:
            flags = ["--tls-cert", str(certificate)]
        with gateway(folder, *flags) as running:
            if renewed:
                make_certificate(folder)
                running.signal(signal.SIGHUP)
                running.wait_for("the options were read again")
            witness = Witness(running.port, None if certificate is None else trusting(certificate))
            yield Stage(running, Place(running.port, certificate, tls or None, folder), witness, None)

    return Transport(name, about, lambda: None, open_it)


HTTP: Final = r"HTTP/\d(\.\d)?"
TELLING: Final = {
    "nginx": {
        "access_log off;": "log_format seen '$server_protocol $uri'; access_log /dev/stderr seen;",
    },
    "haproxy": {"    default_backend": '    log-format "%HV %HPO"\n    default_backend'},
    "caddy": {"\timport cell0gw": "\tlog\n\timport cell0gw"},
}
"""What has each proxy say with which version of HTTP a client has come, in what Proxy makes of its sample."""
HTTP_2: Final = {
    "nginx": {" ssl;": " ssl http2;"},
    "haproxy": {" ssl crt ": " ssl alpn h2,http/1.1 crt "},
}
"""What has each offer HTTP/2; Caddy does so by itself."""


def behind(program: str, name: str, about: str, http_2: bool = False) -> Transport:
    """A proxy with its sample of deploy/, which speaks TLS to clients.

    @param http_2: have it offer that, too.
    """
    changes = TELLING[program] | (HTTP_2[program] if http_2 else {})
    (software,) = (one for one in SOFTWARE if one.program == program)

    @contextmanager
    def open_it(folder: Path) -> Iterator[Stage]:
        certificate = make_certificate(folder)
        port = free_port()
        with ExitStack() as stack:
            flags = ["--port", str(port), "--trusted-proxies", "127.0.0.1"]
            running = stack.enter_context(gateway(folder, *flags))
            proxy = Proxy(software, folder / "proxy", certificate, port, changes={SITE: "localhost"} | changes)
            process = stack.enter_context(proxy.running())

            def seen() -> list[str]:
                return [found[0] for line in process.lines if "/ws" in line and (found := re.search(HTTP, line))]

            place = Place(proxy.tls, certificate, None, folder, http_2 or program == "caddy")
            yield Stage(running, place, Witness(running.port, None), seen, process)

    return Transport(name, about, lambda: why_not(software), open_it)


TRANSPORTS: Final = {
    transport.name: transport
    for transport in (
        direct("plain", "no TLS"),
        direct("tls1.2", "--tls-cert, and clients that speak TLS 1.2 only", "1.2"),
        direct("tls1.3", "--tls-cert, and clients that speak TLS 1.3 only", "1.3"),
        direct("ssl1.2", "--listen ssl:..., TLS 1.2", "1.2", listen=True),
        direct("ssl1.3", "--listen ssl:..., TLS 1.3", "1.3", listen=True),
        direct("renewed", "--tls-cert, and another certificate after SIGHUP", "", renewed=True),
        behind("nginx", "nginx", "nginx with its sample of deploy/"),
        behind("haproxy", "haproxy", "HAProxy with its sample"),
        behind("caddy", "caddy", "Caddy with its sample, which offers HTTP/2"),
        behind("nginx", "nginx-h2", "nginx that offers HTTP/2", http_2=True),
        behind("haproxy", "haproxy-h2", "HAProxy that offers HTTP/2, and WebSockets over it (RFC 8441)", http_2=True),
    )
}
"""By their names."""
