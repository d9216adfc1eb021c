"""``python -m cell0gw``: the gateway in the foreground, for those who don't know twistd."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.application.service import ServiceMaker
from twisted.scripts import twistd

from cell0gw.protocol.version import NAME

_MAKER = ServiceMaker(
    NAME, "cell0gw.tap", "The real-time gateway where AI agents, people and services meet.", "cell0gw"
)


class _ServerOptions(twistd.ServerOptions):  # type: ignore[name-defined]  # it is made at import
    """twistd's options with the gateway as the only command, whatever plugins there are.

    @ivar program: the command by which the process was started, for the help.
    """

    program = ""

    @property
    def subCommands(self) -> Iterator[tuple[str, None, Any, str]]:
        self.loadedPlugins = {_MAKER.tapname: _MAKER}
        yield _MAKER.tapname, None, _MAKER.options, _MAKER.description


def main(arguments: Sequence[str] | None = None, program: str = "python -m cell0gw") -> None:
    """Serve until a signal.

    @param arguments: the flags of C{twistd cell0gw}; None takes those of the process.
    @param program: the command by which the process was started, for the help.
    """
    options = _ServerOptions()
    options.program = program
    options.parseOptions(
        ["--nodaemon", "--pidfile=", _MAKER.tapname, *(sys.argv[1:] if arguments is None else arguments)]
    )
    twistd.runApp(options)
