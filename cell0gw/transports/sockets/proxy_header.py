"""The header of HAProxy's PROXY protocol, version 1 and 2, read from bytes: for whom a proxy has connected.

https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import re
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final, NamedTuple

from cell0gw.protocol.limits import KIB

MAX_LINE: Final = 107
"""Maximum bytes of a header of version 1, its CR LF included (section 2.1)."""

MAX_HEADER: Final = 4 * KIB
"""Maximum bytes of a header of version 2, what it says beside the addresses included. It could have 64 KiB."""

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""What a header of version 2 begins with."""

_WORD: Final = b"PROXY "
"""What a header of version 1 begins with."""

_is_unknown = re.compile(rb"PROXY UNKNOWN( .*)?", re.DOTALL).fullmatch
_PORT: Final = rb"(0|[1-9]\d{0,4})"
_read_line = re.compile(rb"PROXY TCP([46]) ([\d.a-fA-F:]+) ([\d.a-fA-F:]+) %b %b" % (_PORT, _PORT)).fullmatch

_FIXED: Final = struct.Struct("!12sBBH")
_ADDRESSES: Final = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH"), 0x31: struct.Struct("!108s108s")}
"""How addresses stand there, by family: TCP over IPv4 and IPv6, and Unix sockets."""

_UNSPECIFIED: Final = 0x00
_LOCAL, _PROXY = 0x20, 0x21
_ELEMENT: Final = struct.Struct("!BH")
_CRC32C: Final = 0x03
_POLYNOMIAL: Final = 0x82F63B78

MAX_PORT: Final = 65535


class Header(NamedTuple):
    """A header that has all come.

    @ivar length: its bytes; what follows is the client's.
    @ivar client: the address of the client; None: the proxy connects for itself, or does not say for whom.
    @ivar port: that of the client.
    """

    length: int
    client: IPv4Address | IPv6Address | None = None
    port: int = 0


class HeaderError(Exception):
    """What came is no header.

    @ivar cause: one of L{cell0gw.monitoring.refusals.PROXY_CAUSES}.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def read_header(data: bytes | bytearray) -> Header | None:
    """Read the header that some bytes begin with.

    @return: None: it has not all come yet.
    @raise HeaderError: it is none.
    """
    if data.startswith(SIGNATURE):
        return _read_version_2(data)
    if data.startswith(_WORD):
        return _read_version_1(data)
    if SIGNATURE.startswith(data) or _WORD.startswith(data):
        return None
    raise HeaderError("proxy_missing")


def _read_version_1(data: bytes | bytearray) -> Header | None:
    end = data.find(b"\r\n", 0, MAX_LINE)
    if end < 0:
        if len(data) >= MAX_LINE:
            raise HeaderError("proxy_too_long")
        return None
    line = data[:end]
    if _is_unknown(line):
        return Header(end + 2)
    match = _read_line(line)
    if match is None or not int(match[4]) <= MAX_PORT >= int(match[5]):
        raise HeaderError("proxy_malformed")
    kind = IPv4Address if match[1] == b"4" else IPv6Address
    try:
        client, _ = (kind(address.decode()) for address in match.group(2, 3))
    except ValueError:
        raise HeaderError("proxy_malformed") from None
    return Header(end + 2, client, int(match[4]))


def _read_version_2(data: bytes | bytearray) -> Header | None:
    if len(data) < _FIXED.size:
        return None
    _, command, family, more = _FIXED.unpack_from(data)
    if command not in (_LOCAL, _PROXY):
        raise HeaderError("proxy_malformed")
    length = _FIXED.size + more
    if length > MAX_HEADER:
        raise HeaderError("proxy_too_long")
    # Of a connection of the proxy's own, such as a health check, nothing more is of interest.
    addresses = None
    if command == _PROXY and family != _UNSPECIFIED:
        addresses = _ADDRESSES.get(family)
        if addresses is None or more < addresses.size:
            raise HeaderError("proxy_malformed")
    if len(data) < length:
        return None
    if addresses is None:
        return Header(length)
    _judge_elements(bytes(data[:length]), _FIXED.size + addresses.size)
    client, _, *ports = addresses.unpack_from(data, _FIXED.size)
    if not ports:
        return Header(length)
    return Header(length, IPv4Address(client) if len(client) == 4 else IPv6Address(client), ports[0])


def _judge_elements(header: bytes, start: int) -> None:
    """Skip what a header says beside the addresses, but for its checksum, which must be right if there is one.

    @param start: where it begins.
    """
    while start < len(header):
        if start + _ELEMENT.size > len(header):
            raise HeaderError("proxy_malformed")
        kind, length = _ELEMENT.unpack_from(header, start)
        start += _ELEMENT.size
        end = start + length
        if end > len(header):
            raise HeaderError("proxy_malformed")
        if kind == _CRC32C:
            blanked = header[:start] + bytes(length) + header[end:]
            if length != 4 or crc32c(blanked) != int.from_bytes(header[start:end], "big"):
                raise HeaderError("proxy_malformed")
        start = end


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_REMAINDERS: Final = tuple(map(_remainder, range(256)))


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960, appendix B."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _REMAINDERS[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
