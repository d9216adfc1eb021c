"""The periodic sweep: what is to be looked after now and then, and has no timer of its own."""

from __future__ import annotations

from zope.interface import Interface


class ISweeper(Interface):
    """Looks after what grows old: forgets it, ends it, or tries again what failed."""

    def sweep() -> None:
        """Look once.

        L{cell0gw.guard.heartbeat.HeartbeatService} calls this on every tick, about once a second, but not on a tick
        that comes late because the process was blocked. An exception is logged, and keeps no other sweeper from its
        sweep.
        """
