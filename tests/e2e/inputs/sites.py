"""Origins and hosts, for a gateway that lists those it knows."""

from __future__ import annotations

from typing import Final

from tests.e2e.inputs.handshake import Handshake, instead, with_line

ALLOWED_ORIGINS: Final = "https://good.example,http://other.example:8080"
ALLOWED_HOSTS: Final = "localhost,gateway.example:18801"


def _origin(value: str, status: int) -> Handshake:
    return Handshake(f"Origin {value!r}", with_line(b"Origin: " + value.encode("latin-1")), status)


def _host(value: str, status: int) -> Handshake:
    return Handshake(f"Host {value!r}", instead(b"Host", b"Host: " + value.encode("latin-1")), status)


SITES: Final = (
    Handshake("no Origin", with_line(), 101, why="it is no page that connects"),
    *(
        _origin(value, 101)
        for value in (
            "https://good.example",
            "https://good.example:443",
            "HTTPS://Good.Example",
            "http://other.example:8080",
            "http://localhost",
            "https://localhost",
        )
    ),
    *(
        _origin(value, 403)
        for value in (
            "https://evil.example",
            "null",
            "file://",
            "",
            "*",
            "http://good.example",
            "wss://good.example:444",
            "https://good.example:8443",
            "https://good.example:0443x",
            "https://sub.good.example",
            "https://good.example.evil.example",
            "https://evilgood.example",
            "https://good.example.",
            "https://good.example/",
            "https://good.example@evil.example",
            "https://evil.example#https://good.example",
            "https://good.example https://evil.example",
            "https://good.example, https://evil.example",
            "https://good\xe9.example",
            "http://other.example",
            "http://evil.example\x85https://good.example",
            "http://localhost:18801",
            "http://127.0.0.1",
            "http://127.0.0.1:18801",
            "http://[::1]",
            "moz-extension://good.example",
        )
    ),
    *(_host(value, 101) for value in ("localhost", "LocalHost", "localhost:18801", "gateway.example:18801")),
    *(
        _host(value, 403)
        for value in (
            "evil.example",
            "evil.example:18801",
            "localhost.evil.example",
            "localhost.evil.example:18801",
            "localhost.",
            "gateway.example",
            "gateway.example:18802",
            "127.0.0.1",
            "127.evil.example",
            "[::1]",
            "0.0.0.0",
        )
    ),
    *(
        _host(value, 400)
        for value in (
            "",
            "localhost@evil.example",
            "evil.example/localhost",
            "localhost evil.example",
            "localhost,evil.example",
            "localhost:",
            "localhost:x",
            "http://localhost",
            "caf\xe9.example",
        )
    ),
    Handshake(
        "a host that is known and another in the target",
        with_line().replace(b"GET / ", b"GET http://evil.example/ "),
        101,
        why="the target's is not looked at",
    ),
)
