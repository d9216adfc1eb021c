"""What the parts of a gateway may be asked to do while it runs."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface


class IDraining(Interface):
    """Behaves otherwise while the gateway goes down."""

    def drain(draining: bool) -> None:
        """Called with C{True} when the gateway begins to go down, with C{False} at each start."""


class IReconfigurable(Interface):
    """Has options that can change while the gateway runs."""

    def reconfigure(config: Any) -> None:
        """Called with the new options; apply those that can change, whether they differ or not.

        @param config: a L{cell0gw.config.options.Config}; each part says what it asks of it.
        """


class ISweeper(Interface):
    """Is called now and then to forget what is old, end what is over, or retry what failed."""

    def sweep() -> None:
        """Called to sweep once.

        L{cell0gw.guard.heartbeat.HeartbeatService} calls this on every tick, about once a second, but not on a tick
        that comes late because the process was blocked. An exception is logged, and keeps no other sweeper from its
        sweep.
        """
