"""What the parts of a gateway may be asked to do while it runs."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface


class IDraining(Interface):
    """Behaves otherwise while the gateway goes down."""

    def drain(draining: bool) -> None:
        """The gateway goes down from now on; or, with C{False} at each start, it is up."""


class IReconfigurable(Interface):
    """Has options that can change while the gateway runs."""

    def reconfigure(config: Any) -> None:
        """Take over the options that can change, whether they differ or not.

        @param config: a L{cell0gw.config.options.Config}; each part says what it asks of it.
        """


class ISweeper(Interface):
    """Looks after what grows old: forgets it, ends it, or tries again what failed."""

    def sweep() -> None:
        """Look once.

        L{cell0gw.guard.heartbeat.HeartbeatService} calls this on every tick, about once a second, but not on a tick
        that comes late because the process was blocked. An exception is logged, and keeps no other sweeper from its
        sweep.
        """
