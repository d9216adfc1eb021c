"""Where clients come in: the sockets that the options name, and the certificate for them."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from cell0gw.app.gateway import Gateway
from cell0gw.config.options import Config
from cell0gw.transports.sockets.binding import TCPBinding
from cell0gw.transports.sockets.certificates import Certificate, CertificateError, read_certificate
from cell0gw.transports.sockets.endpoints import Endpoint, EndpointError, read_endpoints
from cell0gw.transports.sockets.listening import ListenError, Listening, Renewal

_ADVICE: Final[dict[int | None, str]] = {
    errno.EADDRINUSE: "stop what listens there, or ",
    errno.EADDRNOTAVAIL: "this machine has no such address; ",
    errno.EEXIST: "move it away, or ",
    errno.ENOENT: "make the folder, or ",
}
"""What to do about a place that can't be had, by what the system said, beside choosing another one."""


class StartError(Exception):
    """The gateway can't start; the message is one line that says why and what to do."""


class Entrance:
    """What is listened on. Nothing is open before L{open}.

    @param folder: where relative paths of certificates begin.
    @raise StartError: a certificate or an endpoint can't be used.
    """

    def __init__(self, config: Config, folder: Path) -> None:
        self._folder = folder
        context = self._read_certificate(config)
        self._certificate = None if context is None else Certificate(context)
        self._proxied = config.proxy_protocol
        self._choose = "--host and --port" if config.listen is None else "--listen"
        self._listening = self.read_endpoints(config)

    @property
    def port(self) -> int:
        """The TCP port that is bound, the first of several; 0: none is."""
        return self._listening.port

    @property
    def addresses(self) -> list[str]:
        """Where it listens, for people."""
        return self._listening.addresses

    @property
    def exposed(self) -> list[str]:
        """Those of them which other machines may reach, without TLS."""
        return self._listening.exposed

    def open(self) -> None:
        """Take the sockets; forks after this are fine.

        @raise StartError: one of them can't be had; then none is.
        """
        try:
            self._listening.open()
        except ListenError as problem:
            advice = _ADVICE.get(problem.errno, "")
            raise StartError(f"can't listen on {problem}: {advice}choose another with {self._choose}") from None

    def serve(self, gateway: Gateway, reactor: Any) -> None:
        """Accept connections to a gateway."""
        gateway.rpc.description.read()  # written before there is anybody who would have to wait for it
        proxies = gateway.proxies if self._proxied else None
        report = gateway.tls_failures.handshake_failed
        self._listening.serve(gateway.factory, self._certificate, reactor, report, proxies)

    def renew(self, config: Config) -> None:
        """Read the files of certificates again, whether their names are other ones or not, for new handshakes.

        @raise StartError: one can't be used: nothing has changed.
        """
        renewals: list[Renewal] = []
        if self._certificate is not None and (context := self._read_certificate(config)) is not None:
            renewals.append(partial(self._certificate.renew, context))
        try:
            renewals += self._listening.read_again()
        except EndpointError as problem:
            raise StartError(f"can't speak TLS: {problem}") from None
        for renew in renewals:
            renew()

    def stop(self, after: float, clock: IReactorTime) -> Deferred[Any]:
        """Accept no more connections; those that are open stay open.

        @param after: seconds for which they are accepted still.
        @return: fires once none is accepted.
        """
        if after:
            return deferLater(clock, after, self._listening.stopService)
        return self._listening.stopService()

    def close(self) -> None:
        """Close all that is open, and abort the connections that are left."""
        self._listening.close()

    def read_endpoints(self, config: Config) -> Listening:
        """Where to listen; nothing is open yet.

        @raise StartError: one of the endpoints is none.
        """
        host, port, listen = config.host, config.port, config.listen
        if listen is None:
            return Listening([Endpoint(f"{host} port {port}", TCPBinding(host, port))])
        try:
            return Listening(read_endpoints(listen))
        except EndpointError as problem:
            raise StartError(f"can't listen on {problem}") from None

    def _read_certificate(self, config: Config) -> SSL.Context | None:
        path, passphrase = config.tls_cert, config.tls_key_passphrase_file
        if path is None:
            return None
        try:
            return read_certificate(
                self._folder / path,
                self._folder / (config.tls_key or path),
                None if passphrase is None else self._folder / passphrase,
            )
        except CertificateError as problem:
            raise StartError(f"can't speak TLS: {problem}") from None
