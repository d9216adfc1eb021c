"""What handshakes of TLS are made with: a certificate and its key, read from files, and the tickets of sessions."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from zope.interface import implementer

HTTP: Final = b"http/1.1"
"""The protocol that ALPN chooses: a WebSocket begins with a request of HTTP/1.1."""

TICKETS: Final = 86_400
"""Seconds that a session of TLS can be resumed for, and that its ticket's key is used for (RFC 5077, section 5.5)."""

_SESSIONS: Final = b"cell0gw"
"""Sessions are resumed by contexts that have this id in common, so that one made of renewed files goes on with them."""

_MEANT: Final = {
    "no certificate assigned": "key values mismatch",
    "no start line": "nothing of that kind in it",
    "passed a null parameter": "nothing of that kind in it",
    "PEM lib": "what is in it is damaged, or not supported",
}
"""What OpenSSL says of files, and what it means by that."""

_PRIVATE: Final = stat.S_IWGRP | stat.S_IRWXO
"""Rights that nobody has to a file with a secret."""


class CertificateError(Exception):
    """A certificate or its key can't be used; the message names the file."""


class Names(NamedTuple):
    """How options are called that would help: what names the key, and what names the file with its pass phrase."""

    key: str = "--tls-key"
    passphrase: str = "tls_key_passphrase_file"


def read_certificate(
    certificate: Path,
    key: Path,
    passphrase: Path | None = None,
    chain: Path | None = None,
    parameters: Path | None = None,
    names: Names = Names(),
) -> SSL.Context:
    """What a server needs to speak TLS 1.2 and 1.3. Nothing is asked on a terminal.

    @param certificate: a PEM file with the certificate, and those between it and its root.
    @param key: a PEM file with its private key; may be the same one.
    @param passphrase: a file with the key's pass phrase; not read if the key has none.
    @param chain: a PEM file with more certificates between it and its root.
    @param parameters: a PEM file with parameters for the key exchange of Diffie and Hellman.
    @param names: for messages.
    @raise CertificateError: one of them can't be read, or they don't belong together.
    """
    own, *between = _certificates(certificate)
    more = [] if chain is None else _certificates(chain)
    locked = _locked_key(key, passphrase, names)
    context = _context()
    with _naming(certificate):
        context.use_certificate(own)
        for each in between:
            context.add_extra_chain_cert(each)
    with _naming(chain):
        for each in more:
            context.add_extra_chain_cert(each)
    with _naming(key):
        if locked is None:
            context.use_privatekey_file(str(key))
        else:
            context.use_privatekey(locked)
        context.check_privatekey()
    if parameters is not None:
        _read(parameters)
        with _naming(parameters):
            context.load_tmp_dh(str(parameters))
    return context


@implementer(IOpenSSLServerConnectionCreator)
class Certificate:
    """What handshakes are made with; L{renew} changes it for those that begin later.

    Sessions that clients resume are in tickets, for which OpenSSL makes a key with each context. So each connection
    begins with a context of which only that key is used, and which outlives renewals.

    @param context: see L{read_certificate}.
    @param seconds: tells the time.
    """

    def __init__(self, context: SSL.Context, seconds: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._seconds = seconds
        self._tickets, self._tickets_since = _context(), seconds()

    def renew(self, context: SSL.Context) -> None:
        """Take over another one."""
        self._context = context

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """See L{IOpenSSLServerConnectionCreator}."""
        now = self._seconds()
        if now >= self._tickets_since + TICKETS:
            self._tickets, self._tickets_since = _context(), now
        connection = SSL.Connection(self._tickets)
        connection.set_context(self._context)
        return connection


def self_signed(connection: SSL.Connection) -> str | None:
    """The SHA-256 of the certificate that a connection shows to its peer, in hexadecimal, if that is self-signed."""
    shown = connection.get_certificate()
    if shown is None:
        return None
    certificate = shown.to_cryptography()
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return None
    return certificate.fingerprint(SHA256()).hex()


def choose_protocol(connection: Any, offered: list[bytes]) -> Any:
    """Choose from the protocols that a client offers by ALPN (RFC 7301). If ours is not among them the handshake goes
    on as if none had been offered, rather than end.
    """
    return HTTP if HTTP in offered else SSL.NO_OVERLAPPING_PROTOCOLS


def _context() -> SSL.Context:
    """A context without a certificate."""
    context = CertificateOptions(enableSessionTickets=True).getContext()
    context.set_alpn_select_callback(choose_protocol)
    context.set_session_id(_SESSIONS)
    context.set_timeout(TICKETS)
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as problem:
        raise CertificateError(f"{path}: {problem.strerror}") from None


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _read(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        what = "a certificate in it is damaged" if b"-----BEGIN CERTIFICATE-----" in data else "no certificate in it"
        raise CertificateError(f"{path}: {what}") from None


def _locked_key(path: Path, passphrase: Path | None, names: Names) -> Any:
    """A private key that has a pass phrase, unlocked; None: it has none. OpenSSL would ask for it on the terminal."""
    data = _read(path)
    if b"PRIVATE KEY-----" not in data:
        raise CertificateError(f"{path}: no private key in it; {names.key} names the file that has it")
    if b"ENCRYPTED" not in data:
        return None
    try:
        return load_pem_private_key(data, None)  # the word may stand anywhere in the file
    except TypeError:
        pass
    except ValueError:
        raise CertificateError(f"{path}: the private key in it is damaged") from None
    if passphrase is None:
        raise CertificateError(f"{path}: the key has a pass phrase; {names.passphrase} names a file with it")
    try:
        return load_pem_private_key(data, _secret(passphrase))
    except ValueError:
        raise CertificateError(f"{path}: the pass phrase in {passphrase} is not that of the key") from None


def _secret(path: Path) -> bytes:
    """What a file holds that its owner and group alone can read, without the end of the line."""
    secret = _read(path).removesuffix(b"\n").removesuffix(b"\r")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _PRIVATE:
        raise CertificateError(f"{path}: its mode is {mode:04o}, and the pass phrase in it a secret: chmod 600 {path}")
    if not secret:
        raise CertificateError(f"{path}: no pass phrase in it")
    return secret


@contextmanager
def _naming(path: Path | None) -> Iterator[None]:
    """Have what OpenSSL says of a file name the file."""
    try:
        yield
    except SSL.Error as problem:
        reasons = [text for *_, text in problem.args[0] if text] if problem.args else []
        why = reasons[-1] if reasons else "OpenSSL does not take it"
        raise CertificateError(f"{path}: {_MEANT.get(why, why)}") from None
