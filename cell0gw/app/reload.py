"""SIGHUP: the options and certificates are read again."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from cell0gw.app.application import WebSocketGateway
from cell0gw.app.entrance import StartError
from cell0gw.config.file import ConfigError
from cell0gw.config.options import Config
from cell0gw.process.logs import Threshold


class Reload:
    """Reads the options again and has the gateway take them over, without a connection noticing. Options that can't be
    change nothing.

    @param read: gives the options, and warnings for the log; raises L{ConfigError}.
    @param threshold: that of the log.
    """

    log = Logger()

    def __init__(
        self, gateway: WebSocketGateway, read: Callable[[], tuple[Config, list[str]]], threshold: Threshold
    ) -> None:
        self._gateway = gateway
        self._read = read
        self._threshold = threshold

    def __call__(self) -> None:
        """Do it."""
        try:
            config, warnings = self._read()
            outcome = self._gateway.reconfigure(config)
        except (ConfigError, StartError) as problem:
            self.log.error(
                "the options were read again, and can't be: {problem}; nothing has changed",
                event="options.refused",
                problem=problem,
            )
            return
        self._threshold.set(config.log_level)
        for warning in warnings:
            self.log.warn("{problem}", event="options.ignored", problem=warning)
        changed = ", ".join(outcome.changed) or "none"
        self.log.info("the options were read again; changed: {changed}", event="options.reloaded", changed=changed)
        if outcome.waiting:
            waiting = ", ".join(outcome.waiting)
            self.log.warn("these options need a restart to change: {waiting}", event="options.waiting", waiting=waiting)
