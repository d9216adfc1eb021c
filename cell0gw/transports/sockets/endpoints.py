"""Twisted's descriptions of server endpoints (C{tcp:18801}, C{unix:/run/x}, C{systemd:name=x}), read before there is
anything to serve: what they ask for is noted, and opened when it is time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.endpoints import _parse, _SystemdParser, serverFromString
from twisted.internet.interfaces import IAddress, ILoggingContext, IProtocol, IProtocolFactory
from zope.interface import implementer

from cell0gw.transports.sockets.binding import BACKLOG, Binding, InheritedBinding, TCPBinding, UNIXBinding
from cell0gw.transports.sockets.certificates import Names, read_certificate

UNIX_MODE: Final = 0o660
"""Mode of the file of a unix socket, unless its endpoint says otherwise."""

_USABLE: Final = "use tcp:, tcp6:, ssl:, unix: or systemd:"

_PROXIED: Final = "haproxy"
"""Twisted's endpoint for the PROXY protocol, which puts something around the gateway."""

_NAMES: Final = Names(key="privateKey=", passphrase="passphraseFile=")
"""What an C{ssl:} endpoint calls its files, for messages."""

MAX_PORT: Final = 65535


class EndpointError(Exception):
    """A description of an endpoint that means nothing here; the message has it."""


@implementer(IProtocolFactory, ILoggingContext)
class StandIn:
    """Stands for the gateway's factory until there is one.

    @ivar factory: that one.
    """

    factory: Any = None

    def logPrefix(self) -> str:
        """See L{ILoggingContext}."""
        return "Gateway"

    def doStart(self) -> None:
        """See L{IProtocolFactory}."""
        self.factory.doStart()

    def doStop(self) -> None:
        """See L{IProtocolFactory}."""
        self.factory.doStop()

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        """See L{IProtocolFactory}."""
        protocol: IProtocol | None = self.factory.buildProtocol(addr)
        return protocol


class Endpoint:
    """One binding to listen on.

    @ivar text: its description.
    @ivar stand_in: makes what a connection meets.
    @ivar tls: an C{ssl:} endpoint's own certificate, see L{read_certificate}.
    """

    def __init__(self, text: str, binding: Binding, tls: SSL.Context | None = None) -> None:
        self.text = text
        self.binding = binding
        self.stand_in = StandIn()
        self.tls = tls


class _Notebook:
    """As much of a reactor as endpoints ask of one: it notes what it is to listen on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.stand_in = StandIn()
        self.endpoints: list[Endpoint] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> None:
        """See L{IReactorTCP}."""
        self._note(_tcp(port, backlog, interface), factory)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = UNIX_MODE, wantPID: bool = False
    ) -> None:
        """See L{IReactorUNIX}. No lock is needed to see whether somebody listens."""
        self._note(UNIXBinding(address, mode, max(backlog, BACKLOG)), factory)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> None:
        """See L{IReactorSocket}. Twisted's endpoint would close the descriptor, which is needed for another start."""
        raise ValueError("nothing can be put around a socket that was handed over")

    def _note(self, binding: Binding, factory: Any) -> None:
        if factory is not self.stand_in:
            # Its transports would know nothing of the limits that those of the gateway keep.
            raise AttributeError("something is put around the gateway")
        self.endpoints.append(Endpoint(self._text, binding))


def _tcp(port: int, backlog: int, interface: str) -> TCPBinding:
    """
    @raise ValueError: there is no such port; the system would take another one for it.
    """
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"a port is 0 to {MAX_PORT}, got {port}")
    return TCPBinding(interface or "0.0.0.0", port, max(backlog, BACKLOG))


def read_endpoints(texts: Iterable[str], given: Sequence[tuple[str, int]] | None = None) -> list[Endpoint]:
    """Read descriptions. Nothing is opened, but an C{ssl:} endpoint's files are read.

    @param given: names and descriptors of the sockets that were handed over; None: see L{handed_over}.
    @raise EndpointError: one of them can't be.
    """
    given = handed_over() if given is None else given
    return [endpoint for text in texts for endpoint in _read(text, given)]


def handed_over() -> list[tuple[str, int]]:
    """The names and descriptors of the sockets that the parent process has bound for this one, see sd_listen_fds(3)."""
    # Twisted takes the variables away, as one should, when it is imported; only there they are known from then on.
    known = _SystemdParser._sddaemon
    return list(zip(os.environ.get("LISTEN_FDNAMES", "").split(":"), known.inheritedDescriptors(), strict=False))


def _read(text: str, given: Sequence[tuple[str, int]]) -> list[Endpoint]:
    kind, _, rest = text.partition(":")
    if kind == "systemd":
        return [Endpoint(text, InheritedBinding(descriptor)) for descriptor in _chosen(text, rest, given)]
    if kind == _PROXIED:
        raise EndpointError(f"{text}: set the option proxy_protocol, and leave {_PROXIED}: out")
    notebook = _Notebook(text)
    problems: list[Any] = []
    try:
        positions, words = _parse(text)
        if kind == "ssl":
            binding, tls = _ssl(*positions[1:], **words)
            return [Endpoint(text, binding, tls)]
        if "ssl" in positions:
            raise AttributeError("something is put around TLS")
        # Every endpoint of sockets asks for them at once.
        serverFromString(notebook, _with_mode(text)).listen(notebook.stand_in).addErrback(problems.append)
        for failure in problems:
            failure.raiseException()
    except (AttributeError, LookupError):  # it asks more of a reactor, or of a factory, than to listen
        notebook.endpoints.clear()
    except RuntimeError:  # as Twisted's parser raises it
        raise EndpointError(f"{text}: nothing follows the last backslash") from None
    except Exception as problem:  # whatever the many parsers raise
        hint = f"; {_USABLE}" if str(problem).startswith("Unknown endpoint type") else ""
        raise EndpointError(f"{text}: {' '.join(str(problem).split()) or type(problem).__name__}{hint}") from None
    if not notebook.endpoints:
        raise EndpointError(f"{text}: endpoints of this kind can't be used here; {_USABLE}")
    return notebook.endpoints


def _ssl(
    port: str,
    privateKey: str = "server.pem",
    certKey: str | None = None,
    sslmethod: str | None = None,
    interface: str = "",
    backlog: str = "0",
    extraCertChain: str | None = None,
    dhParameters: str | None = None,
    passphraseFile: str | None = None,
) -> tuple[Binding, SSL.Context]:
    """What follows C{ssl}, as Twisted's L{SSL4ServerEndpoint} takes it; that one would ask for pass phrases on the
    terminal, and settles what the gateway decides itself.

    @return: where to listen, and the certificate.
    """
    if sslmethod is not None:
        raise ValueError("the gateway speaks TLS 1.2 and 1.3: leave sslmethod out")
    binding = _tcp(int(port), int(backlog), interface)
    passphrase, chain, parameters = (
        None if name is None else Path(name) for name in (passphraseFile, extraCertChain, dhParameters)
    )
    key = Path(privateKey)
    context = read_certificate(Path(certKey or key), key, passphrase, chain, parameters, _NAMES)
    return binding, context


def _with_mode(text: str) -> str:
    """Twisted would let everyone on the machine in."""
    if text.startswith("unix:") and not re.search(r"(?<!\\):mode=", text):
        return f"{text}:mode={UNIX_MODE:o}"
    return text


def _chosen(text: str, rest: str, given: Sequence[tuple[str, int]]) -> list[int]:
    """The descriptors of all sockets of a name, where Twisted has the last one only: a unit can bind several. The
    C{domain} may be left out, since a socket knows its own.

    @raise EndpointError: there are none.
    """
    words = dict(word.partition("=")[::2] for word in rest.split(":") if word)
    if unknown := words.keys() - {"domain", "name", "index"}:
        raise EndpointError(f"{text}: {min(unknown)} means nothing there; expected systemd:name=...")
    name, index = words.get("name"), words.get("index")
    chosen = [
        descriptor
        for number, (known, descriptor) in enumerate(given)
        if name in (None, known) and index in (None, str(number))
    ]
    if not chosen:
        there = ", ".join(known for known, _ in given) or "none"
        raise EndpointError(f"{text}: no such socket was handed over; there are: {there}")
    return chosen
