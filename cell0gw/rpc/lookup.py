"""Which methods there are: those of the services in a collection, found by name."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from twisted.application.service import MultiService
from twisted.python.reflect import prefixedMethodNames

from cell0gw.protocol.errors import MethodNotFound
from cell0gw.protocol.printable import printable
from cell0gw.protocol.suggestions import Choices
from cell0gw.rpc.methods import PREFIX, Method


class Lookup:
    """The C{rpc_} methods of services.

    @param services: C{channel.publish} is the method C{rpc_publish} of the one named C{channel}.
    @ivar located: the methods that were asked for already, by name.
    """

    def __init__(self, services: MultiService) -> None:
        self._services = services
        self.located: dict[str, Method] = {}
        self._named: list[tuple[str, str]] = []
        self._choices = Choices(())

    def __iter__(self) -> Iterator[Method]:
        """Every method there is.

        @raise TypeError: one of them can't be called as it is written, see L{Method}.
        """
        return (self.locate(f"{namespace}.{verb}") for namespace, verb in self._names())

    def locate(self, name: str) -> Method:
        """
        @raise MethodNotFound: nobody has it; those with names like it are in C{near}.
        """
        if name not in self.located:
            namespace, _, verb = name.partition(".")
            try:
                bound = getattr(self._services.getServiceNamed(namespace), PREFIX + verb, None)
            except KeyError:
                bound = None
            if bound is None:
                raise MethodNotFound(f"Method not found: {printable(name)}", near=self._near(name))
            self.located[name] = Method(name, bound)
        return self.located[name]

    def forget(self, namespace: str) -> None:
        """A service has left the collection."""
        for name in [name for name in self.located if name.startswith(f"{namespace}.")]:
            del self.located[name]

    def _near(self, name: str) -> list[str]:
        """The names of methods that look like one that there is none of, which may lack its namespace."""
        named = self._names()
        if named != self._named:
            names = [f"{namespace}.{verb}" for namespace, verb in named]
            verbs = [verb for _, verb in named]
            self._named, self._choices = named, Choices(names, zip(verbs, names, strict=True))
        return self._choices.near(name)

    def _names(self) -> list[tuple[str, str]]:
        """The namespace and the verb of each method; a plain Service beside the namespaces has no name."""
        services = [service for service in self._services if service.name is not None]
        return [(service.name, verb) for service in services for verb in _verbs(type(service))]  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def _verbs(kind: type) -> tuple[str, ...]:
    """The methods of a class of services, without the namespace."""
    return tuple(prefixedMethodNames(kind, PREFIX))
