"""Where a client connects to."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where a client connects to.

    @ivar port: of localhost.
    @ivar certificate: what it must trust, and nothing else; None: it speaks no TLS.
    @ivar tls: the one version of TLS that it is to speak; None: what it likes.
    @ivar folder: one that it may write to.
    @ivar http_2: whether the other end speaks HTTP/2, too.
    """

    port: int
    certificate: Path | None
    tls: str | None
    folder: Path
    http_2: bool = False

    def url(self, scheme: str = "ws", path: str = "/ws") -> str:
        """Where clients find something.

        @param scheme: C{ws} or C{http}; it gets its s by itself.
        """
        return f"{scheme}{'s' if self.certificate else ''}://localhost:{self.port}{path}"
