"""What the cases are run against: the gateway's own protocol on its own transport, which echoes messages.

It differs from the gateway in this alone: it sends back text and binary messages, says nothing by itself, asks nobody
to authenticate, and has limits beyond the largest of the cases.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from cell0gw.transports.sockets.reactor import install

MIB: Final = 1024 * 1024
LARGEST: Final = 64 * MIB
TEXT: Final = 0x81
BINARY: Final = 0x82


def serve(certificate: Path | None, compression: bool) -> None:
    """Echo on a port of 127.0.0.1 that the system chooses, until killed.

    @param certificate: a PEM file with its key: speak TLS.
    @param compression: whether permessage-deflate may be negotiated.
    """
    from twisted.internet import reactor
    from twisted.python import log

    from cell0gw.app.gateway import Gateway
    from cell0gw.config.options import Config
    from cell0gw.engines.memory.engine import MemoryEngine
    from cell0gw.process.runtime import runtime_of_process
    from cell0gw.protocol.buckets import Rate
    from cell0gw.transports.frames import header
    from cell0gw.transports.sockets.binding import TCPBinding
    from cell0gw.transports.sockets.certificates import Certificate, read_certificate
    from cell0gw.transports.sockets.endpoints import Endpoint
    from cell0gw.transports.sockets.listening import Listening
    from cell0gw.transports.websocket.connection import GatewayProtocol
    from cell0gw.transports.websocket.lean import with_options

    class EchoProtocol(GatewayProtocol):
        """Only what becomes of messages is another, and how much there may be of them."""

        max_fragments = 1 << 20
        fragment_rate = Rate(1 << 20, 1 << 20)

        def onOpen(self) -> None:
            super().onOpen()
            self.maxMessagePayloadSize = self.maxFramePayloadSize = LARGEST

        def notify(self, method: str, params: Any) -> None:
            """An echo says nothing of its own."""

        def beat(self, message: bytes) -> None:
            """Not even while a slow case lasts until its heartbeat is due."""

        def onMessage(self, payload: bytes, isBinary: bool) -> None:
            self.forget_message()
            if isBinary:
                self.transport.write(header(BINARY, len(payload)) + payload)
            else:
                self._handle(payload)

        def _handle(self, payload: bytes) -> None:
            self.send(payload)

    log.startLogging(sys.stderr, setStdout=False)
    config = Config(
        enable_compression=compression,
        max_message_size=LARGEST,
        outbound_limit=LARGEST,
        auth_timeout=0,
        heartbeat_interval=3600,
        heartbeat_timeout=7200,
    )
    gateway = Gateway(config, MemoryEngine(), runtime_of_process(reactor))
    gateway.factory.protocol = with_options(EchoProtocol, gateway.factory)
    listening = Listening([Endpoint("127.0.0.1", TCPBinding("127.0.0.1", 0))])
    listening.open()
    gateway.startService()
    own = None if certificate is None else Certificate(read_certificate(certificate, certificate))
    listening.serve(gateway.factory, own, reactor, gateway.tls_failures.handshake_failed)
    print(f"listening on 127.0.0.1 port {listening.port}", flush=True)
    reactor.run()  # type: ignore[attr-defined]


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(prog="python -m tests.conformance.echo", description=__doc__)
    options.add_argument("--tls", type=Path, metavar="PEM", help="speak TLS with this certificate and key")
    options.add_argument("--no-compression", action="store_true")
    given = options.parse_args()
    install()
    serve(given.tls, not given.no_compression)


if __name__ == "__main__":
    main()
