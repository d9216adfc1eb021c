"""The targets by name, and a way to feed them that starts anew now and then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.dispatcher import Dispatching
from tests.fuzz.findings import Target
from tests.fuzz.frames import Frames
from tests.fuzz.handshake import Handshake

TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "handshake": Handshake,
    "frames": Frames,
    "dispatcher": Dispatching,
}
CORPUS: Final = Path(__file__).parent / "corpus"
INPUTS_A_WORLD: Final = {"handshake": 1000, "frames": 1000, "dispatcher": 100}
"""So many inputs meet the same gateway: making one takes longer than most inputs do."""


class Feeder:
    """Feeds a target.

    @ivar inputs: what the present gateway was given, oldest first: what a finding may depend on.
    """

    def __init__(self, name: str) -> None:
        self._make = TARGETS[name]
        self._most = INPUTS_A_WORLD[name]
        self._target = self._make()
        self.inputs: list[bytes] = []

    def __call__(self, data: bytes) -> None:
        """Feed one input.

        @raise Finding: something does not hold.
        """
        if len(self.inputs) >= self._most:
            self.renew()
        self.inputs.append(data)
        self._target.run(data)

    def renew(self) -> None:
        """Go on with another gateway."""
        self._target.close()
        self._target, self.inputs = self._make(), []


def read_inputs(paths: list[Path]) -> dict[str, bytes]:
    """Inputs from files, or from all files of folders, in the order of their names; what is not there has none."""
    files = [file for path in paths for file in (sorted(path.iterdir()) if path.is_dir() else [path] * path.exists())]
    return {str(file): file.read_bytes() for file in files}
