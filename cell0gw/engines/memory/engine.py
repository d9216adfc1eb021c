"""The engine of tests, and of gateways that are to leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cell0gw.agents.mail.store import IMailStore
from cell0gw.auth.store import ITokenStore
from cell0gw.channels.store import IMessageStore
from cell0gw.engines.interfaces import IEngine
from cell0gw.engines.memory.mail import MemoryMailStore
from cell0gw.engines.memory.messages import MemoryMessageStore
from cell0gw.engines.memory.tasks import MemoryTaskStore
from cell0gw.engines.memory.tokens import MemoryTokenStore
from cell0gw.tasks.store import ITaskStore


@implementer(IEngine)
class MemoryEngine:
    """Stores that are forgotten with the process.

    @param tokens: instead of a store of its own; so for C{messages}, C{mail} and C{tasks}.
    """

    def __init__(
        self,
        tokens: ITokenStore | None = None,
        messages: IMessageStore | None = None,
        mail: IMailStore | None = None,
        tasks: ITaskStore | None = None,
    ) -> None:
        self.tokens: ITokenStore = MemoryTokenStore() if tokens is None else tokens
        self.messages: IMessageStore = MemoryMessageStore() if messages is None else messages
        self.mail: IMailStore = MemoryMailStore() if mail is None else mail
        self.tasks: ITaskStore = MemoryTaskStore() if tasks is None else tasks
        self.changed: list[Callable[[str | None], object]] = []

    def probe(self) -> None:
        """See L{IEngine}."""

    def open(self) -> None:
        """See L{IEngine}."""

    def written(self) -> Deferred[None]:
        """See L{IEngine}."""
        return succeed(None)

    def close(self) -> None:
        """See L{IEngine}."""
