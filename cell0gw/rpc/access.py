"""Access to methods: the decorators by which a method declares who may call it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple, TypeVar


class Access(NamedTuple):
    """Who may call a method: the declaration that the decorators below leave on it.

    C{resource} names the parameter that the permission's pattern is held against. If there are several, one of them is
    to be given, and all but the first put their name before it: C{capability:translate}. The values in C{open} are free
    to every session. If C{optional}, the parameter may be left out: then the method sees to it that it reaches no more
    than the caller's permissions do. C{like} names the method whose permission is needed; empty: that of its own name.
    """

    who: Literal["anyone", "reader", "session", "permission"]
    resource: tuple[str, ...] = ()
    open: frozenset[str] = frozenset()
    optional: bool = False
    like: str = ""


_Method = TypeVar("_Method", bound=Callable[..., Any])
_ATTRIBUTE: Final = "__cell0_access__"


def _declare(access: Access) -> Callable[[_Method], _Method]:
    def decorate(method: _Method) -> _Method:
        setattr(method, _ATTRIBUTE, access)
        return method

    return decorate


anyone = _declare(Access("anyone"))
"""Open to all, before authentication too."""

anonymous_read = _declare(Access("reader"))
"""Open to all as long as anonymous reads are: before authentication the method shows less."""

session = _declare(Access("session"))
"""Open to every session."""


def permission(
    resource: str | tuple[str, ...] = (), open: Iterable[str] = (), optional: bool = False, like: str = ""
) -> Callable[[_Method], _Method]:
    """Needs the permission of the method's own name. Without a resource it is that as a whole: a permission that is
    narrowed by a pattern covers nothing.

    @param resource: the parameter that names what the method is about, if a permission may be narrowed to it; of
        several one is to be given, see L{Access}.
    @param open: values of that parameter that need no permission.
    @param optional: whether that parameter may be left out, see L{Access}.
    @param like: another method with such a resource, which does the same in another way: its permission is needed.
    """
    names = (resource,) if isinstance(resource, str) else resource
    return _declare(Access("permission", names, frozenset(open), optional, like))


def access_of(method: Callable[..., Any]) -> Access | None:
    """What a method declares; None: nothing, so nobody may call it."""
    return getattr(method, _ATTRIBUTE, None)
