"""Slow lines between clients, whichever they are, and a gateway."""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

BUFFER: Final = 16 * 1024
"""Bytes that the system keeps of what is on its way, about."""

TICK: Final = 0.02
"""Seconds between two pieces."""


class SlowLine:
    """Passes on what connections bring: what the gateway sends only so fast, the rest at once.

    @param port: the gateway's.
    @param rate: bytes a second of each connection.
    @ivar port: where clients connect.
    @ivar passed: bytes that clients were brought.
    @ivar stopped: while it is set, nothing is taken from the gateway.
    """

    def __init__(self, port: int, rate: float) -> None:
        self._gateway = port
        self._rate = rate
        self._sockets: list[socket.socket] = []
        self._gateways: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.stopped = Event()
        self.passed = 0
        Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for each in (self._listening, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def is_cut(self) -> bool:
        """Whether the gateway has reset a connection, read or not."""
        looking = select.poll()
        for each in self._gateways:
            looking.register(each, select.POLLERR)
        return any(events & select.POLLERR for _, events in looking.poll(0))

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                gateway = socket.socket()
                gateway.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
                gateway.connect(("127.0.0.1", self._gateway))
                self._sockets += (client, gateway)
                self._gateways.append(gateway)
                Thread(target=self._pass_on, args=(client, gateway, None), daemon=True).start()
                Thread(target=self._pass_on, args=(gateway, client, self._rate), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, rate: float | None) -> None:
        """Pass on all that comes, and how it ends: a reset becomes one."""
        piece = 65536 if rate is None else max(1, int(rate * TICK))
        due = time.monotonic()
        try:
            while True:
                while rate is not None and self.stopped.is_set():
                    time.sleep(TICK)
                data = source.recv(piece)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
                if rate is not None:
                    self.passed += len(data)
                    due = max(due + len(data) / rate, time.monotonic() - TICK)
                    time.sleep(max(0.0, due - time.monotonic()))
        except ConnectionResetError:
            with suppress(OSError):
                target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                target.shutdown(socket.SHUT_RD)
                target.close()
        except OSError:
            pass
