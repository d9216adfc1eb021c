"""Certificates and keys as they are read from files, and what handshakes are made with."""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from OpenSSL._util import lib
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from bench.certificate import make_certificate
from cell0gw.app.entrance import StartError
from cell0gw.config.file import ConfigError
from cell0gw.config.options import Config, load
from cell0gw.transports.sockets.certificates import (
    TICKETS,
    Certificate,
    CertificateError,
    Names,
    read_certificate,
    self_signed,
)
from tests.app.test_application import Case

VERSIONS = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
SHORT = "MEYCQQCZdKDuFhnOFyZZdzqL4NnU1r3kEnRIPE9A/2dExWFIyZL1ABwns3Ms80llYorCS24aBSFqgHLue20AFUG06QYvAgEC"
"""Parameters of Diffie and Hellman of 512 bits."""
LONG = (
    "MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1"
    "H18GbtCFY2VVPe0a87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN"
    "9K5W7edjcrsZCwenyO4KbXCeAvzhzffi7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaDssbzSibBsu/6iGtC"
    "OGEoXJf//////////wIBAg=="
)
"""Those of RFC 7919, appendix A.1."""


class Handshake:
    """A handshake in memory, and a byte that arrives after it.

    @param offered: the protocols that the client offers by ALPN.
    @param session: one that the client would resume.
    @ivar chosen: the protocol that was; C{resumed}: whether the session was; C{session}: another one to resume.
    """

    def __init__(
        self, certificate: Certificate, version: int, offered: tuple[bytes, ...] = (), session: Any = None
    ) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        if offered:
            context.set_alpn_protos(list(offered))
        client, server = SSL.Connection(context), certificate.serverConnectionForTLS(None)
        client.set_connect_state()
        server.set_accept_state()
        if session is not None:
            assert lib.SSL_set_session(client._ssl, session._session) == 1
        for _ in range(4):
            for one, other in ((client, server), (server, client)):
                self._step(one.do_handshake)
                self._step(lambda one=one, other=other: other.bio_write(one.bio_read(65536)))
        server.send(b"!")
        client.bio_write(server.bio_read(65536))
        assert client.recv(1) == b"!"
        self.chosen = server.get_alpn_proto_negotiated()
        self.resumed = bool(lib.SSL_session_reused(server._ssl))
        self.session = client.get_session()
        self.self_signed = self_signed(server)
        self.chain = client.get_peer_cert_chain(as_cryptography=True)
        for end in (client, server):  # of an end that only stops the session can't be resumed
            end.set_shutdown(SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN)

    @staticmethod
    def _step(step: Callable[[], Any]) -> None:
        with contextlib.suppress(SSL.WantReadError):
            step()


class HandshakeTests(SynchronousTestCase):
    """L{Certificate}."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.now = 0.0
        self.certificate = Certificate(self.context(), lambda: self.now)

    def context(self) -> SSL.Context:
        """What is made of another certificate each time."""
        return read_certificate(path := make_certificate(self.folder), path)

    def test_interface(self) -> None:
        """It is what Twisted asks for connections."""
        self.assertTrue(verifyObject(IOpenSSLServerConnectionCreator, self.certificate))

    def test_protocols(self) -> None:
        """HTTP/1.1 is chosen if it is offered; if it is not, or nothing is, the handshake succeeds as well."""
        for offered, chosen in (
            ((), b""),
            ((b"http/1.1",), b"http/1.1"),
            ((b"h2", b"http/1.1"), b"http/1.1"),
            ((b"h2",), b""),
        ):
            for version in VERSIONS:
                self.assertEqual(Handshake(self.certificate, version, offered).chosen, chosen)
        self.certificate.renew(self.context())
        self.assertEqual(Handshake(self.certificate, SSL.TLS1_3_VERSION, (b"h2", b"http/1.1")).chosen, b"http/1.1")

    def test_sessions(self) -> None:
        """A session is resumed, also when the certificate is another one by then; one of another port is not."""
        for version in VERSIONS:
            first = Handshake(self.certificate, version)
            self.assertFalse(first.resumed)
            self.assertTrue(Handshake(self.certificate, version, session=first.session).resumed)
            self.certificate.renew(self.context())
            self.assertTrue(Handshake(self.certificate, version, session=first.session).resumed)
            self.assertNotEqual(Handshake(self.certificate, version).chain, first.chain)
            other = Certificate(self.context())
            self.assertFalse(Handshake(other, version, session=first.session).resumed)

    def test_keys_of_tickets(self) -> None:
        """They are used for a day, so that a key that leaks opens the traffic of one day at most."""
        session = Handshake(self.certificate, SSL.TLS1_2_VERSION).session
        self.now = TICKETS - 1
        self.assertTrue(Handshake(self.certificate, SSL.TLS1_2_VERSION, session=session).resumed)
        self.now = TICKETS
        again = Handshake(self.certificate, SSL.TLS1_2_VERSION, session=session)
        self.assertFalse(again.resumed)
        self.assertTrue(Handshake(self.certificate, SSL.TLS1_2_VERSION, session=again.session).resumed)


class PassphraseTests(SynchronousTestCase):
    """Keys that have a pass phrase. There is no terminal that could be asked; OpenSSL would read it otherwise."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.plain = make_certificate(self.folder)
        self.key = serialization.load_pem_private_key(self.plain.read_bytes(), None)
        self.passphrase = self.secret("passphrase", b"open sesame\n")

    def secret(self, name: str, data: bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(mode)
        return path

    def locked(self, form: serialization.PrivateFormat, certificate: bytes = b"") -> Path:
        """A file with the key, under its pass phrase."""
        encryption = serialization.BestAvailableEncryption(b"open sesame")
        path = self.folder / "locked.pem"
        path.write_bytes(certificate + self.key.private_bytes(serialization.Encoding.PEM, form, encryption))
        return path

    def refusal(self, key: Path, passphrase: Path | None, names: Names = Names()) -> str:
        failure = self.assertRaises(CertificateError, read_certificate, self.plain, key, passphrase, names=names)
        return str(failure)

    def test_opens(self) -> None:
        """With the pass phrase the key is used, in either form, beside its certificate as well; ends of lines are not
        part of it, and the file's group may read it."""
        certificate = self.plain.read_bytes().partition(b"-----BEGIN PRIVATE")[0]
        for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            key = self.locked(form, certificate)
            for data, mode in ((b"open sesame", 0o400), (b"open sesame\r\n", 0o640)):
                self.passphrase.unlink()
                context = read_certificate(key, key, self.secret("passphrase", data, mode))
                Handshake(Certificate(context), SSL.TLS1_3_VERSION)

    def test_needs_it(self) -> None:
        """Without it the error names the option for it."""
        for form in (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL):
            key = self.locked(form)
            self.assertEqual(
                self.refusal(key, None),
                f"{key}: the key has a pass phrase; tls_key_passphrase_file names a file with it",
            )
            self.assertIn("; passphraseFile= names", self.refusal(key, None, Names(passphrase="passphraseFile=")))

    def test_wrong(self) -> None:
        """One that does not fit, that is not there, that is empty, or that others can read, is refused."""
        key = self.locked(serialization.PrivateFormat.PKCS8)
        for path, why in (
            (self.secret("wrong", b"sesame"), f"{key}: the pass phrase in {self.folder}/wrong is not that of the key"),
            (self.folder / "none", f"{self.folder}/none: No such file or directory"),
            (self.secret("empty", b"\n"), f"{self.folder}/empty: no pass phrase in it"),
            (self.secret("open", b"open sesame", 0o644), f"{self.folder}/open: its mode is 0644"),
            (self.secret("written", b"open sesame", 0o620), f"{self.folder}/written: its mode is 0620"),
        ):
            self.assertTrue(self.refusal(key, path).startswith(why), self.refusal(key, path))

    def test_not_needed(self) -> None:
        """A key without one is used whatever the file has, and whatever stands beside the key."""
        read_certificate(self.plain, self.plain, self.folder / "none")
        self.plain.write_text("# not ENCRYPTED\n" + self.plain.read_text())
        read_certificate(self.plain, self.plain)

    def test_damaged(self) -> None:
        """What is no key is said to be damaged, whether it should have a pass phrase or not."""
        for kind in ("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"):
            key = self.secret("damaged", f"-----BEGIN {kind}-----\nAAAA\n-----END {kind}-----\n".encode())
            self.assertIn("damaged", self.refusal(key, self.passphrase).removeprefix(str(key)))


class CertificateTests(Case):
    """Certificates that can't be used are refused at the start, in one line that names the file."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def test_refused(self) -> None:
        """Missing, unreadable, not a certificate, without a key, of another key."""
        good = make_certificate(self.folder)
        other = make_certificate(self.folder, "other")
        text = self.folder / "text.pem"
        text.write_text("no certificate")
        head = good.read_text().partition("-----BEGIN PRIVATE")[0]
        keyless = self.folder / "keyless.pem"
        keyless.write_text(head)
        damaged = self.folder / "damaged.pem"
        damaged.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        another = self.folder / "ed25519.pem"
        another.write_bytes(
            ed25519.Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        for certificate, key, named in (
            (self.folder / "none.pem", good, "none.pem: No such file"),
            (self.folder, good, "Is a directory"),
            (text, good, "text.pem: no certificate in it"),
            (damaged, good, "damaged.pem: a certificate in it is damaged"),
            (keyless, keyless, "keyless.pem: no private key in it; --tls-key names the file that has it"),
            (good, text, "text.pem: no private key in it"),
            (keyless, self.folder / "none.pem", "none.pem: No such file"),
            (good, other, "other.pem: key values mismatch"),
            (good, another, "ed25519.pem: key values mismatch"),
        ):
            failure = self.assertRaises(CertificateError, read_certificate, certificate, key)
            self.assertIn(named, str(failure))

    def test_start(self) -> None:
        """The gateway takes nothing when it can't speak TLS."""
        gateway = self.gateway(tls_cert=str(self.folder / "none.pem"))
        self.assertIn("can't speak TLS", self.refusal(gateway))
        self.assertFalse(self.state.exists())

    def test_key_in_the_same_file(self) -> None:
        """Without C{tls_key} the key is looked for beside the certificate."""
        gateway = self.gateway(tls_cert=str(make_certificate(self.folder)))
        self.assertIn("can't listen", str(self.assertRaises(StartError, gateway.prepare)))

    def test_chain(self) -> None:
        """Certificates that stand behind the first one, or in a file of their own, are sent with it."""
        own, ca, root = (make_certificate(self.folder, name) for name in ("own", "ca", "root"))
        own.write_text(own.read_text() + ca.read_text().partition("-----BEGIN PRIVATE")[0])
        handshake = Handshake(Certificate(read_certificate(own, own, None, root)), SSL.TLS1_3_VERSION)
        names = [each.subject.rfc4514_string() for each in handshake.chain]
        self.assertEqual(names, ["CN=own", "CN=ca", "CN=root"])

    def test_self_signed(self) -> None:
        """The fingerprint of a certificate that is signed by itself is known; of others clients need none."""
        own = make_certificate(self.folder)
        handshake = Handshake(Certificate(read_certificate(own, own)), SSL.TLS1_3_VERSION)
        self.assertEqual(handshake.self_signed, handshake.chain[0].fingerprint(hashes.SHA256()).hex())
        self.assertIsNone(self_signed(SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))))
        ca, key = make_certificate(self.folder, "ca"), ec.generate_private_key(ec.SECP256R1())
        issuer = x509.load_pem_x509_certificate(ca.read_bytes())
        issuing = serialization.load_pem_private_key(ca.read_bytes(), None)
        for name in ("issued", "ca"):  # what has its issuer's name need not be its issuer's
            issued = (
                x509.CertificateBuilder(issuer.subject, serial_number=1, public_key=key.public_key())
                .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
                .not_valid_before(issuer.not_valid_before_utc)
                .not_valid_after(issuer.not_valid_after_utc)
                .sign(issuing, hashes.SHA256())  # type: ignore[arg-type]
            )
            path = self.folder / f"{name}-issued.pem"
            path.write_bytes(
                issued.public_bytes(serialization.Encoding.PEM)
                + key.private_bytes(
                    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
                )
            )
            handshake = Handshake(Certificate(read_certificate(path, path)), SSL.TLS1_3_VERSION)
            self.assertIsNone(handshake.self_signed)

    def test_parameters(self) -> None:
        """Parameters of Diffie and Hellman are used; a file without any, or with those that are no good, is refused."""
        good = make_certificate(self.folder)
        short, long = self.folder / "short.pem", self.folder / "long.pem"
        for path, text in ((short, SHORT), (long, LONG)):
            lines = "\n".join(textwrap.wrap(text, 64))
            path.write_text(f"-----BEGIN DH PARAMETERS-----\n{lines}\n-----END DH PARAMETERS-----\n")
        read_certificate(good, good, parameters=long)
        for path, why in (
            (short, "short.pem: dh key too small"),
            (good, "localhost.pem: nothing of that kind in it"),
            (self.folder / "none.pem", "none.pem: No such file"),
        ):
            failure = self.assertRaises(CertificateError, read_certificate, good, good, parameters=path)
            self.assertIn(why, str(failure))

    def test_key_alone(self) -> None:
        """A key without its certificate is a mistake, and so is a pass phrase."""
        for name in ("tls_key", "tls_key_passphrase_file"):
            failure = self.assertRaises(ConfigError, load, {name: "key.pem"}, {"HOME": "/"})
            self.assertIn(f"{name} needs the certificate", str(failure))
        self.assertIsNone(Config().tls_cert)
