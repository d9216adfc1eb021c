"""Python's websocket-client, on one thread: OpenSSL reads and writes on one only."""

from __future__ import annotations

import select
import sys

import websocket

from tests.clients.programs.telling import context, tell, tell_message


def arrived(socket: websocket.WebSocket) -> bool:
    """Whether bytes are there to be read that OpenSSL has taken from the socket already."""
    pending = getattr(socket.sock, "pending", None)
    return pending is not None and pending() > 0


def main(url: str) -> None:
    """One connection."""
    socket = websocket.create_connection(url, sslopt={"context": context()}, http_no_proxy=["*"])
    tell(f"open {socket.handshake_response.headers.get('sec-websocket-extensions', '')}")
    while True:
        readable = [socket.sock] if arrived(socket) else select.select([socket.sock, sys.stdin], [], [])[0]
        if sys.stdin in readable:
            if line := sys.stdin.readline():
                socket.send(line.removesuffix("\n"))
            else:
                socket.close()
                return
        if socket.sock in readable:
            opcode, data = socket.recv_data(control_frame=True)
            if opcode == websocket.ABNF.OPCODE_TEXT:
                tell_message(data)
            elif opcode == websocket.ABNF.OPCODE_CLOSE:
                tell(f"closed {int.from_bytes(data[:2])} {data[2:].decode()}")
                return


try:
    # One line at a time: what Python reads ahead select would not see.
    sys.stdin.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    main(sys.argv[1])
except Exception as failure:
    tell(f"failed {failure!r}")
