"""The header of the PROXY protocol."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.monitoring.refusals import PROXY_CAUSES as CAUSES
from cell0gw.transports.sockets.proxy_header import (
    MAX_HEADER,
    MAX_LINE,
    SIGNATURE,
    Header,
    HeaderError,
    crc32c,
    read_header,
)

V4 = IPv4Address("203.0.113.9").packed + IPv4Address("192.0.2.1").packed + struct.pack("!HH", 50_000, 443)
V6 = IPv6Address("2001:db8::9").packed + IPv6Address("2001:db8::1").packed + struct.pack("!HH", 50_000, 443)
UNIX = b"/client".ljust(108, b"\0") + b"/gateway".ljust(108, b"\0")


def version_2(payload: bytes = V4, family: int = 0x11, command: int = 0x21) -> bytes:
    """A header of version 2."""
    return SIGNATURE + bytes((command, family)) + struct.pack("!H", len(payload)) + payload


def element(kind: int, value: bytes) -> bytes:
    """What such a header says beside the addresses."""
    return struct.pack("!BH", kind, len(value)) + value


def summed(payload: bytes) -> bytes:
    """A header with a right checksum at its end."""
    header = version_2(payload + element(3, bytes(4)))
    return header[:-4] + crc32c(header).to_bytes(4, "big")


CLIENT = IPv4Address("203.0.113.9")
CLIENT_6 = IPv6Address("2001:db8::9")
V4_LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 443\r\n"
LONGEST = b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".ljust(MAX_LINE - 2, b" ") + b"\r\n"

GOOD = {
    "IPv4, 1": (V4_LINE, CLIENT),
    "IPv6, 1": (b"PROXY TCP6 2001:db8::9 2001:DB8:0:0::1 50000 443\r\n", CLIENT_6),
    "unknown, 1": (b"PROXY UNKNOWN\r\n", None),
    "unknown with addresses, 1": (b"PROXY UNKNOWN 203.0.113.9 x \xff\n\r 1\r\n", None),
    "the longest, 1": (LONGEST, None),
    "IPv4, 2": (version_2(), CLIENT),
    "IPv6, 2": (version_2(V6, 0x21), CLIENT_6),
    "a Unix socket, 2": (version_2(UNIX, 0x31), None),
    "unspecified, 2": (version_2(b"", 0x00), None),
    "unspecified with something, 2": (version_2(b"anything", 0x00), None),
    "local, 2": (version_2(b"", 0x00, 0x20), None),
    "local with addresses, 2": (version_2(V4, 0x11, 0x20), None),
    "local of any family, 2": (version_2(b"x", 0xFF, 0x20), None),
    "with elements, 2": (version_2(V4 + element(2, b"gateway.example") + element(0xEE, b"")), CLIENT),
    "with a checksum, 2": (summed(V4 + element(2, b"gateway.example")), CLIENT),
    "the longest, 2": (version_2(V4 + element(4, bytes(MAX_HEADER - 16 - 12 - 3))), CLIENT),
}
BAD = {
    "HTTP": (b"GET / HTTP/1.1\r\n", "proxy_missing"),
    "TLS": (b"\x16\x03\x01\x02\x00", "proxy_missing"),
    "another word": (b"PROXIES", "proxy_missing"),
    "in lower case": (b"proxy TCP4", "proxy_missing"),
    "another signature": (SIGNATURE[:-1] + b"!", "proxy_missing"),
    "no end, 1": (b"PROXY TCP4 ".ljust(MAX_LINE, b"1"), "proxy_too_long"),
    "an end too late, 1": (b"PROXY UNKNOWN".ljust(MAX_LINE - 1, b" ") + b"\r\n", "proxy_too_long"),
    "another protocol, 1": (b"PROXY UDP4 203.0.113.9 192.0.2.1 50000 443\r\n", "proxy_malformed"),
    "a family of the other's addresses, 1": (b"PROXY TCP4 ::1 ::1 50000 443\r\n", "proxy_malformed"),
    "IPv4 as IPv6, 1": (b"PROXY TCP6 203.0.113.9 192.0.2.1 50000 443\r\n", "proxy_malformed"),
    "a zero before a number, 1": (b"PROXY TCP4 203.0.113.09 192.0.2.1 50000 443\r\n", "proxy_malformed"),
    "a zero before a port, 1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 050 443\r\n", "proxy_malformed"),
    "a port too high, 1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n", "proxy_malformed"),
    "another port too high, 1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 1 65536\r\n", "proxy_malformed"),
    "an interface, 1": (b"PROXY TCP6 fe80::1%eth0 ::1 50000 443\r\n", "proxy_malformed"),
    "two blanks, 1": (b"PROXY TCP4  203.0.113.9 192.0.2.1 50000 443\r\n", "proxy_malformed"),
    "something at the end, 1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 443 \r\n", "proxy_malformed"),
    "nothing, 1": (b"PROXY \r\n", "proxy_malformed"),
    "a longer word, 1": (b"PROXY UNKNOWNS\r\n", "proxy_malformed"),
    "a line feed alone, 1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 50000 443\n\r\n", "proxy_malformed"),
    "version 1 in 2": (version_2(command=0x11), "proxy_malformed"),
    "version 3": (version_2(command=0x31), "proxy_malformed"),
    "another command, 2": (version_2(command=0x22), "proxy_malformed"),
    "UDP, 2": (version_2(family=0x12), "proxy_malformed"),
    "another family, 2": (version_2(family=0x41), "proxy_malformed"),
    "too short for addresses, 2": (version_2(V4[:-1]), "proxy_malformed"),
    "too short for those of IPv6, 2": (version_2(V4, 0x21), "proxy_malformed"),
    "an element's head cut off, 2": (version_2(V4 + b"\x02\x00"), "proxy_malformed"),
    "an element cut off, 2": (version_2(V4 + element(2, b"gateway")[:-1]), "proxy_malformed"),
    "a wrong checksum, 2": (version_2(V4 + element(3, b"\1\2\3\4")), "proxy_malformed"),
    "a short checksum, 2": (version_2(V4 + element(3, b"\1\2")), "proxy_malformed"),
    "too long, 2": (version_2(V4 + bytes(MAX_HEADER - 16 - 12 + 1)), "proxy_too_long"),
    "as long as can be, 2": (SIGNATURE + b"\x21\x11\xff\xff", "proxy_too_long"),
}


def outcome(data: bytes) -> Header | str | None:
    """What comes of some bytes: a header, a cause, or None."""
    try:
        return read_header(data)
    except HeaderError as problem:
        return problem.cause


def in_parts(data: bytes) -> Header | str | None:
    """What comes of them byte by byte."""
    for length in range(len(data) + 1):
        if (found := outcome(data[:length])) is not None:
            return found
    return None


class ReadingTests(SynchronousTestCase):
    """L{read_header}."""

    def test_good(self) -> None:
        """Headers of both versions say who the client is, if they do; what follows them is the client's."""
        for name, (data, client) in GOOD.items():
            header = Header(len(data), client, 50_000 if client else 0)
            self.assertEqual(outcome(data), header, name)
            self.assertEqual(outcome(data + b"PROXY \r\nGET / HTTP/1.1\r\n"), header, name)

    def test_every_cut(self) -> None:
        """As long as a header has not all come nothing is known; however it is cut, the end is the same."""
        for name, (data, client) in GOOD.items():
            for length in range(len(data)):
                self.assertIsNone(outcome(data[:length]), (name, length))
            self.assertEqual(in_parts(data), Header(len(data), client, 50_000 if client else 0), name)

    def test_bad(self) -> None:
        """What is no header has a cause, however it is cut; each cause that bytes can have is there."""
        for name, (data, cause) in BAD.items():
            self.assertEqual(outcome(data), cause, name)
            self.assertEqual(in_parts(data), cause, name)
        self.assertEqual(CAUSES.keys() - {cause for _, cause in BAD.values()}, {"proxy_untrusted", "proxy_incomplete"})

    def test_changed_byte(self) -> None:
        """A header in which one byte is not what the checksum was made of is none."""
        header = summed(V4 + element(2, b"gateway.example"))
        for position in set(range(len(SIGNATURE) + 4, len(header))) - {len(header) - 7}:  # there is a checksum
            changed = header[:position] + bytes((header[position] ^ 1,)) + header[position + 1 :]
            self.assertIn(outcome(changed), ("proxy_malformed", None), position)

    def test_checksum(self) -> None:
        """The checksum is that of RFC 3720, appendix B.4."""
        for data, expected in ((bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)):
            self.assertEqual(crc32c(data), expected)

    def test_limits_in_words(self) -> None:
        """What is said of headers that are too long has the limits."""
        self.assertIn(f"{MAX_LINE} bytes", CAUSES["proxy_too_long"])
        self.assertIn(f"or {MAX_HEADER} in", CAUSES["proxy_too_long"])

    @given(
        st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]), st.binary(max_size=300)
    )
    @example(SIGNATURE + b"\x21\x11", b"\x0f\xff")
    def test_anything(self, start: bytes, data: bytes) -> None:
        """Of any bytes comes a header, a cause or nothing; the same however they are cut; and never nothing of more
        than a header may have.
        """
        found = outcome(start + data)
        self.assertEqual(in_parts(start + data), found)
        longer = outcome(start + data + bytes(MAX_HEADER))
        self.assertIsNotNone(longer)
        if found is not None:
            self.assertEqual(longer, found)

    @given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 65535), st.integers(0, 65535), st.binary(max_size=50))
    def test_any_client(
        self, client: IPv4Address | IPv6Address, server: IPv4Address | IPv6Address, port: int, own: int, rest: bytes
    ) -> None:
        """Any address and port come out as a proxy puts them in."""
        server = ip_address(server.packed.ljust(16, b"\0")[: len(client.packed)])
        family = 0x11 if client.version == 4 else 0x21
        line = f"PROXY TCP{client.version} {client} {server} {port} {own}\r\n".encode()
        packed = version_2(client.packed + server.packed + struct.pack("!HH", port, own), family)
        for header in (line, packed):
            self.assertEqual(read_header(header + rest), Header(len(header), client, port))
