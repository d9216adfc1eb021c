"""What an engine is: the stores of a gateway, and the life that they share."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.store import ITokenStore
from cell0gw.channels.store import IMessageStore
from cell0gw.tasks.store import ITaskStore


class EngineError(Exception):
    """An engine can't be used; the message is one line that says why and what to do."""


class IEngine(Interface):
    """Where all that must outlive the process is kept."""

    tokens: ITokenStore = Attribute("Token records.")
    messages: IMessageStore = Attribute("The messages of durable channels.")
    mail: IMailStore = Attribute("Directed messages, and what became of them.")
    tasks: ITaskStore = Attribute("Tasks, and their events.")
    changed: list[Callable[[str | None], object]] = Attribute(
        "Each is called, on the reactor's thread, with the cause when nothing can be written, see "
        "L{cell0gw.monitoring.health.CAUSES}, and with None when it can again."
    )

    def probe() -> None:
        """Open it, read what is read at the start, and close it: what can't work is known before the process forks.

        @raise EngineError: it can't be used.
        """

    def open() -> None:
        """Make the stores ready. No process may fork before L{close}.

        @raise EngineError: it can't be used.
        """

    def written() -> Deferred[None]:
        """Fires once all is written that was asked for before."""

    def close() -> None:
        """Finish what was asked for, and let go of all that L{open} took. It may be opened again."""
