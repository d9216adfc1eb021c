"""Whether a gateway is as well as before, whatever it was sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.e2e.inputs.peer import DEFLATE, Peer, compressed, fragments, text
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, environment, eventually

MIB: Final = 1 << 20
FLAT: Final = 96 * MIB
"""By how much the memory of a gateway may differ from what it was at first: what its allocator keeps for later."""

BAD_NEWS: Final = ("Traceback", "[critical]", "[error]", "Unhandled")


def watched(folder: Path, *flags: str, **variables: str) -> Iterator[Watch]:
    """A gateway that is looked after; in the end no socket is left, its log has no failure, and neither that
    nor anything that it keeps has a token.

    @param flags: its command line beside what it always gets.
    """
    env = environment(CELL0_GATEWAY_ADMIN_TOKEN=ADMIN_TOKEN, **variables)
    gateway = GatewayProcess("--log-level", "debug", *flags, state_dir=folder / "state", env=env)
    try:
        watch = Watch(gateway)
        yield watch
        watch.check_sockets()
        gateway.stop()
        watch.check_log()
        kept = [path.read_bytes() for path in gateway.state_dir.iterdir() if path.is_file()]
        for token in (ADMIN_TOKEN, *watch.tokens):
            secret = token.split("_")[1]
            assert secret not in gateway.output
            assert not any(secret.encode() in content for content in kept)
    finally:
        gateway.kill()


class Watch:
    """Looks after one gateway.

    @ivar tokens: all that were minted by L{mint}, and others that must not be in its log.
    @ivar began: how much memory it had when it had done a little of everything, in bytes.
    """

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self.tokens: list[str] = []
        self._read = 0
        self._folder = Path("/proc") / str(gateway.pid)
        self._warm_up()
        self.began = self.memory
        self.sockets = self._sockets()

    @property
    def memory(self) -> int:
        """How much memory the process has, in bytes."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """The most that it had since the last L{reset_peak}, in bytes."""
        return self._status("VmHWM")

    def reset_peak(self) -> None:
        """Begin anew to look for the most."""
        (self._folder / "clear_refs").write_text("5")

    def _warm_up(self) -> None:
        """Let it use as much memory as it may, so that its allocator has it."""
        for line in (b"X: y", DEFLATE):
            with self.admin(line) as peer:
                longest = b" " * (peer.welcome["limits"]["max_message_size"] - 300)
                for message in (
                    text(longest),
                    fragments(longest, 2),
                    *([compressed(longest)] if line is DEFLATE else ()),
                ):
                    peer.send(message)
                    assert peer.call("rpc.ping") == "pong"
                peer.leave()
        self.works()

    def works(self) -> None:
        """A fresh connection authenticates and is answered."""
        with Peer(self.gateway.port) as peer:
            peer.open()
            peer.call("auth.authenticate", token=ADMIN_TOKEN)
            assert peer.call("rpc.ping") == "pong"
            peer.leave()

    def mint(self, entity_id: str, **params: Any) -> str:
        """A token for an entity."""
        with Peer(self.gateway.port) as admin:
            admin.open().call("auth.authenticate", token=ADMIN_TOKEN)
            token: str = admin.call("auth.generateToken", entity_id=entity_id, **params)["token"]
            admin.leave()
        self.tokens.append(token)
        return token

    def session(self, entity_id: str, *lines: bytes, **params: Any) -> Peer:
        """A connection that has authenticated with a new token.

        @param lines: of its handshake.
        @param params: of the token.
        """
        peer = Peer(self.gateway.port).open(*lines)
        peer.call("auth.authenticate", token=self.mint(entity_id, **params))
        return peer

    def admin(self, *lines: bytes) -> Peer:
        """A connection that may do everything."""
        peer = Peer(self.gateway.port).open(*lines)
        peer.call("auth.authenticate", token=ADMIN_TOKEN)
        return peer

    def check(self) -> None:
        """It works, its memory is flat, and its log has no failure."""
        self.works()
        grown = self.memory - self.began
        assert grown < FLAT, f"it has {grown / MIB:.0f} MiB more than at first"
        self.check_log()

    def check_log(self) -> None:
        """No failure has been logged since the last time."""
        lines = self.gateway.lines[self._read :]
        self._read += len(lines)
        bad = [line for line in lines if any(word in line for word in BAD_NEWS)]
        assert not bad, "\n".join(lines)

    def check_sockets(self) -> None:
        """None is left of all connections that there were."""
        eventually(lambda: self._sockets() <= self.sockets, f"the end of all sockets but {self.sockets}")

    def _sockets(self) -> int:
        opened = [os.readlink(path) for path in (self._folder / "fd").iterdir() if path.is_symlink()]
        return sum(target.startswith("socket:") for target in opened)

    def _status(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")
