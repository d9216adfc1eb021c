"""What twistd asks of a plugin: the options of the command line, and the service they make."""

from __future__ import annotations

import os
import select
import shutil
import sys
import textwrap
from functools import partial
from pathlib import Path
from typing import Any, Final, TextIO

from twisted.application.service import IService
from twisted.python.logfile import LogFile
from twisted.python.usage import Options as Usage
from twisted.python.usage import UsageError

from cell0gw import __version__
from cell0gw.app.application import WebSocketGateway
from cell0gw.app.entrance import StartError
from cell0gw.app.reload import Reload
from cell0gw.config.file import ConfigError
from cell0gw.config.help import usage
from cell0gw.config.links import told
from cell0gw.config.options import Config, load
from cell0gw.config.table import OPTIONS
from cell0gw.process.descriptors import raise_file_limit
from cell0gw.process.lifecycle import ProcessService
from cell0gw.process.logs import GatewayLog, Threshold
from cell0gw.process.systemd import Notifier

CLOSING: Final = 10.0
"""Maximum seconds that the disk may need when all connections are closed."""


MAX_WIDTH: Final = 110
"""Maximum characters of a line of the help."""


class Options(Usage):
    """C{twistd cell0gw --help}. Every option has an environment variable and a place in the file, too."""

    synopsis = "[options]"
    longdesc = (
        "The real-time gateway where AI agents, people and services meet. Each option can also be given by an "
        "environment variable (CELL0_GATEWAY_PORT) or under [gateway] in the file of --config (port = 18801)."
    )
    optParameters = [["config", "c", None, "A TOML file with options."]] + [
        [option.flag, None, None, option.help] for option in OPTIONS if not (option.switch or option.secret)
    ]
    optFlags = [[option.flag, None, option.help] for option in OPTIONS if option.switch]

    def getSynopsis(self) -> str:
        """The command as it was called: by twistd, or by another program that has the gateway as its only command."""
        program = getattr(self.parent, "program", None)
        return super().getSynopsis() if program is None else f"Usage: {program} {self.synopsis}"

    def getUsage(self, width: int | None = None) -> str:
        """The options in groups, where Twisted's own has them in one list."""
        width = min(width or shutil.get_terminal_size().columns, MAX_WIDTH)
        return f"\n{textwrap.fill(self.longdesc, width)}\n{usage(width)}"

    def parseOptions(self, options: list[str] | None = None) -> None:
        """One line instead of the whole help when a flag is wrong."""
        try:
            super().parseOptions(options)
        except UsageError as problem:
            raise SystemExit(f"cell0gw: {problem}; --help lists the options") from None

    def parseArgs(self, *arguments: str) -> None:
        """
        @raise UsageError: there is an argument that belongs to no flag.
        """
        if arguments:
            raise UsageError(f"unexpected argument {arguments[0]!r}: there are only flags")

    def postOptions(self) -> None:
        """In the foreground no pid file but one that was asked for: the folder of the state has a lock, which ends with
        its process. After a kill twistd would take the number in the file for that of another gateway, which in a
        container it is for ever.
        """
        twistd = self.parent
        # What was given is never the same object as the default, even if it is spelled like that.
        if (
            twistd is not None
            and (twistd["nodaemon"] or twistd["debug"])
            and twistd["pidfile"] is twistd.defaults["pidfile"]
        ):
            twistd["pidfile"] = ""

    def opt_version(self) -> None:
        """Display the gateway's version and exit."""
        print(f"cell0gw {__version__}")
        raise SystemExit(0)

    def given(self) -> dict[str, Any]:
        """What was given, by option name."""
        values = {o.name: self[o.flag] for o in OPTIONS if not (o.switch or o.secret)}
        return values | {o.name: o.flag_sets if self[o.flag] else None for o in OPTIONS if o.switch}


def makeService(options: Options) -> IService:
    """Make the service; the port and the state folder are taken already, since twistd may fork after this.

    @raise SystemExit: it can't be; with one line that says what to do.
    """
    _choose_reactor()
    from twisted.internet import reactor

    path = options["config"] or os.environ.get("CELL0_GATEWAY_CONFIG")
    # A daemon may be somewhere else when it reads the file again.
    read = partial(load, options.given(), os.environ, Path(path).absolute() if path else None)
    try:
        config, warnings = read()
        raise_file_limit()
        gateway = WebSocketGateway(config, reactor=reactor)
        gateway.prepare()
    except (ConfigError, StartError) as problem:
        raise SystemExit(f"cell0gw: {problem}") from None
    threshold = Threshold(config.log_level)
    log = _log(config, threshold, options.parent)
    process = ProcessService(
        reactor,
        log,
        Notifier(os.environ),
        reload=Reload(gateway, read, threshold),
        status=lambda: "; ".join(gateway.summary),
        patience=lambda: gateway.config.drain_timeout + CLOSING,
        hurry=gateway.hurry,
        forked=log.start if log is not None else lambda: None,
    )
    if log is not None:
        gateway.lines["log"] = log.lines
    for warning in warnings:
        process.log.warn("{problem}", event="options.ignored", problem=warning)
    if (links := told(os.environ)) is not None:
        process.log.info("{links}", event="options.links", links=links)
    gateway.changed.append(process.tell_status)
    gateway.setServiceParent(process)
    return process


def _choose_reactor() -> None:
    """The quickest one there is, unless C{twistd --reactor} has chosen already."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from cell0gw.transports.sockets.reactor import install  # which needs epoll to be imported

        install()


def _log(config: Config, threshold: Threshold, twistd: Any) -> GatewayLog | None:
    """The observer of the log, unless twistd was told to log in a way of its own."""
    twistd = twistd or {}
    if twistd.get("logger") or twistd.get("syslog"):
        return None
    return GatewayLog(config.log_format, threshold, _stream(twistd))


def _stream(twistd: Any) -> TextIO | None:
    """Where twistd would write its log: C{--logfile}, or standard output, or a file once it is a daemon.

    @return: None: standard output is closed.
    """
    path = twistd.get("logfile")
    if path == "-" or (not path and twistd.get("nodaemon", True)):
        return sys.stdout
    return LogFile.fromFullPath(os.path.abspath(path or "twistd.log"))
