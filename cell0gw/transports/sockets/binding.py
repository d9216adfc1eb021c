"""Where to listen: a TCP port, a path, or a socket that the parent process has bound already."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final, Protocol

BACKLOG: Final = 1024
"""Minimum length of the system's queue of connections that are not accepted yet."""


CHOICES: Final = 16
"""Maximum times that the system is asked for a port which is free on all addresses of a name."""

_LACKS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""What the system says of an address that this machine does not have, such as any of IPv6 where that is off."""


class Binding(Protocol):
    """Somewhere to listen."""

    def open(self) -> list[socket.socket]:
        """Sockets that listen, and don't block: one, unless it is a name with several addresses.

        @raise OSError: the address is taken, is none of this machine's, or is not allowed; nothing is open then.
        """

    def release(self) -> None:
        """Nobody listens there any more: take away what would stay behind."""


class TCPBinding:
    """A port, on every address that a name has; of those that this machine lacks at least one must be left.

    @param host: an address or a name; C{::} is IPv6 and IPv4.
    @param port: 0 lets the system choose, the same one for all addresses if it can.
    """

    def __init__(self, host: str, port: int, backlog: int = BACKLOG) -> None:
        self._host = host
        self._port = port
        self._backlog = backlog

    def open(self) -> list[socket.socket]:
        """See L{Binding}."""
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except UnicodeError:
            raise OSError(errno.EINVAL, "not the name of a host") from None
        # A file of hosts may have an address twice.
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        for _ in range(CHOICES if self._port == 0 and len(addresses) > 1 else 0):
            try:
                return self._open_all(addresses, together=True)
            except OSError as problem:
                if problem.errno != errno.EADDRINUSE:
                    raise
        return self._open_all(addresses, together=False)

    def _open_all(self, addresses: Sequence[tuple[int, Any]], together: bool) -> list[socket.socket]:
        """
        @param together: whether all take the port that the system chooses for the first one.
        """
        opened: list[socket.socket] = []
        lacking: OSError | None = None
        mixed = any(family != socket.AF_INET6 for family, _ in addresses)
        with ExitStack() as closing:
            for family, address in addresses:
                port = opened[0].getsockname()[1] if together and opened else self._port
                try:
                    listening = self._listen(family, (address[0], port, *address[2:]), not mixed)
                except OSError as problem:
                    if len(addresses) > 1:
                        problem = OSError(problem.errno, f"{address[0]}: {problem.strerror}")
                    if problem.errno not in _LACKS:
                        raise problem from None
                    lacking = lacking or problem
                else:
                    opened.append(listening)
                    closing.callback(listening.close)
            if not opened:
                assert lacking is not None
                raise lacking
            closing.pop_all()
        return opened

    def _listen(self, family: int, address: Any, both: bool) -> socket.socket:
        """
        @param both: whether an address of IPv6 stands for IPv4 as well.
        """
        listening = socket.socket(family, socket.SOCK_STREAM)
        with _closed_on_failure(listening):
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                # Whatever the system's default is (net.ipv6.bindv6only).
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both)
            listening.bind(address)
            listening.listen(self._backlog)
            listening.setblocking(False)
        return listening

    def release(self) -> None:
        """See L{Binding}."""


class UNIXBinding:
    """A path.

    @param mode: of the socket's file.
    """

    def __init__(self, path: str, mode: int, backlog: int = BACKLOG) -> None:
        self._given = path  # as short as it is: a socket's is at most 107 bytes
        self._path = Path(path).absolute()  # a daemon may be somewhere else when it ends
        self._mode = mode
        self._backlog = backlog
        self._file: tuple[int, int] | None = None

    def open(self) -> list[socket.socket]:
        """See L{Binding}. A socket at which nobody listens any more is taken away first."""
        listening = socket.socket(socket.AF_UNIX)
        with _closed_on_failure(listening):
            try:
                self._clear()
                listening.bind(self._given)
            except ValueError as problem:  # a NUL in the path
                raise OSError(errno.EINVAL, str(problem)) from None
            # Nobody gets in before it listens, so nobody does with another mode.
            self._path.chmod(self._mode)
            self._file = self._identity()
            listening.listen(self._backlog)
            listening.setblocking(False)
        return [listening]

    def release(self) -> None:
        """See L{Binding}."""
        with suppress(OSError):
            if self._file is not None and self._file == self._identity():
                self._path.unlink()
        self._file = None

    def _identity(self) -> tuple[int, int]:
        """What tells the file at the path from another one, of a gateway that has taken the path."""
        status = self._path.lstat()
        return status.st_dev, status.st_ino

    def _clear(self) -> None:
        try:
            mode = self._path.lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket")
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.setblocking(False)
            try:
                knocking.connect(self._given)
            except ConnectionRefusedError:
                self._path.unlink()
                return
            except BlockingIOError:
                pass  # its queue is full
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class InheritedBinding:
    """A socket that was bound by the parent process, and stays its own: a successor gets it, too, and the system
    holds those who connect meanwhile.

    @param descriptor: of the socket.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def open(self) -> list[socket.socket]:
        """See L{Binding}."""
        os.set_inheritable(self._descriptor, False)
        listening = socket.socket(fileno=os.dup(self._descriptor))
        with _closed_on_failure(listening):
            if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EINVAL, "the socket does not listen")
            listening.setblocking(False)
        return [listening]

    def release(self) -> None:
        """See L{Binding}."""


@contextmanager
def _closed_on_failure(listening: socket.socket) -> Iterator[None]:
    """Close a socket that can't be made ready to listen."""
    try:
        yield
    except BaseException:
        listening.close()
        raise


def is_exposed(listening: socket.socket) -> bool:
    """Whether other machines may reach a socket that listens."""
    if listening.family == socket.AF_UNIX:
        return False
    address = ip_address(listening.getsockname()[0].partition("%")[0])  # IPv6 may name an interface
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return not (mapped or address).is_loopback


def described(listening: socket.socket) -> str:
    """Where a socket listens, for people."""
    name = listening.getsockname()
    if listening.family == socket.AF_UNIX:
        return os.fsdecode(name).replace("\0", "@")
    return f"{name[0]} port {name[1]}"
