"""What a permission covers.

A permission is ``*`` (everything), ``<namespace>.*``, ``<method>``, or ``<method>:<pattern>``, which reaches only the
resources that the pattern covers: ``channel.publish:tasks.>``. Names that begin with ``$`` are reached by ``*`` and by
a permission that spells them, never by a namespace or a bare method. Capabilities are reached by patterns of
capabilities, ``agent.call:capability:lang.*``, and by none of names.

``presence.get`` is open to every session, so a permission for it takes away: see L{Sight}.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta

from cell0gw.auth.sight import EVERYONE, SEE, Sight
from cell0gw.protocol import subjects

EVERYTHING: Final = "*"

AGENT_PERMISSIONS: Final = ("session.*", "presence.*", "channel.*", "agent.*", "task.create")
"""What a token gets when its minter names no permissions: all an agent does, no minting, no statistics."""

MINT: Final = "auth.generateToken"
"""Minting for others is a resource of its own: without a pattern the permission reaches only the bearer's own ids."""

MAX_SHOWN: Final = 10
"""Maximum permissions that a refusal shows of those that a caller has."""

MAX_SHARED: Final = 128
"""Maximum sets of permissions that are kept for the next token that has the same."""

_FORM = r"\*|[A-Za-z][A-Za-z0-9_]*\.(\*|[A-Za-z][A-Za-z0-9_]*(:[$A-Za-z0-9_.:*>-]+)?)"

Permission = Annotated[str, Meta(min_length=1, max_length=300, pattern=rf"^({_FORM})$(?!\n)", title="permission")]
"""A permission in a request."""

RULE: Final = "a permission is *, <namespace>.*, <method> or <method>:<pattern>"
"""What permissions look like, for people."""


def why_no_permission(text: str) -> str:
    """Why a text is no L{Permission}, for people: whichever it is, the rule says it."""
    return RULE


def is_permission(text: str) -> bool:
    """Whether this is a well-formed permission, its pattern included."""
    if re.fullmatch(_FORM, text) is None:
        return False
    _, colon, pattern = text.partition(":")
    pattern = pattern.removeprefix(subjects.CAPABILITY)
    return not colon or subjects.is_pattern(pattern) or pattern in subjects.OWN_CHANNELS


class Permissions:
    """What a token allows: a set of permissions, taken apart once.

    @param permissions: well-formed ones, see L{is_permission}.
    @ivar sight: whom its bearers see, but for themselves.
    """

    __slots__ = ("_any", "_capabilities", "_everything", "_methods", "_namespaces", "_patterns", "granted", "sight")

    def __init__(self, permissions: Iterable[str]) -> None:
        self.granted = tuple(permissions)
        self._everything = EVERYTHING in self.granted
        self._namespaces = frozenset(p[:-2] for p in self.granted if p.endswith(".*") and ":" not in p)
        self._methods = frozenset(p for p in self.granted if ":" not in p)
        self._any: dict[str, bool] = {}
        self._patterns: dict[str, list[str]] = {}
        self._capabilities: dict[str, list[str]] = {}
        for permission in self.granted:
            method, colon, pattern = permission.partition(":")
            if pattern.startswith(subjects.CAPABILITY):
                pattern = pattern.removeprefix(subjects.CAPABILITY)
                self._capabilities.setdefault(method, []).append(pattern)
            elif colon:
                self._patterns.setdefault(method, []).append(pattern)
        seen = None if self._allow_all_of(SEE) else self._patterns.get(SEE)
        self.sight = EVERYONE if seen is None else Sight(seen, self.grants_by_pattern)

    def allow(self, method: str) -> bool:
        """Whether the method may be called at all, on some resource or on any."""
        return self._allow_all_of(method) or method in self._patterns or method in self._capabilities

    def allow_any(self, method: str) -> bool:
        """Whether the method may be called on whatever clients may name.

        @param method: one that there is, since the answer is remembered.
        """
        known = self._any.get(method)
        if known is None:
            known = self._any[method] = self._allow_all_of(method)
        return known

    def allow_on(self, method: str, resource: str) -> bool:
        """Whether the method may be called on this resource.

        @param resource: a name, or a pattern: then on all that it stands for.
        """
        if self._everything:
            return True
        if not subjects.is_own(resource) and self._allow_all_of(method):
            return True
        return self.grants_by_pattern(method, resource)

    def about(self, permission: str) -> list[str]:
        """Those of these that are about the same method, or namespace, as another one; at most L{MAX_SHOWN}."""
        method = permission.partition(":")[0]
        namespace, _, verb = method.partition(".")
        beginning = f"{namespace}." if verb == "*" else f"{method}:"
        found = (p for p in self.granted if p in (method, f"{namespace}.*") or p.startswith(beginning))
        return list(itertools.islice(found, MAX_SHOWN))

    def grants_by_pattern(self, method: str, resource: str) -> bool:
        """Whether a C{<method>:<pattern>} among these covers the resource, or C{*} does."""
        patterns = self._patterns
        if resource.startswith(subjects.CAPABILITY):
            patterns, resource = self._capabilities, resource.removeprefix(subjects.CAPABILITY)
        return self._everything or any(subjects.covers(p, resource) for p in patterns.get(method, ()))

    def covers(self, permission: str) -> bool:
        """Whether C{permission} gives nothing that these don't give already."""
        return self._holds(permission) or (permission.partition(":")[0] == SEE and self.sight.everyone)

    def _holds(self, permission: str) -> bool:
        """Whether these name a permission, or a wider one."""
        if self._everything:
            return True
        method, colon, pattern = permission.partition(":")
        if colon:
            return self.grants_by_pattern(method, pattern) if method == MINT else self.allow_on(method, pattern)
        if permission.endswith(".*"):
            return permission[:-2] in self._namespaces
        return self._allow_all_of(permission)

    def intersect(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The intersection of C{wanted} with these: each permission as a whole, or the part that these cover."""
        kept: dict[str, None] = {}
        for permission in wanted:
            if self.covers(permission):
                kept[permission] = None
            else:
                narrower = Permissions((permission,))
                kept.update((own, None) for own in self.granted if narrower._holds(own))
        return tuple(kept)

    def bound(self, granted: Iterable[str]) -> tuple[str, ...]:
        """Some permissions, as a token has them whose minter has these: it sees no more than its minter.

        @param granted: those that it is to have, none beyond these.
        """
        wanted = tuple(granted)
        if self.sight.everyone or any(each.startswith(f"{SEE}:") for each in wanted):
            return wanted
        return (*wanted, *(f"{SEE}:{pattern}" for pattern in self._patterns[SEE]))

    def _allow_all_of(self, method: str) -> bool:
        return self._everything or method in self._methods or method.partition(".")[0] in self._namespaces


@lru_cache(maxsize=MAX_SHARED)
def permissions_of(granted: tuple[str, ...]) -> Permissions:
    """The permissions of a token: one object for all tokens that have the same, as those of a fleet have."""
    return Permissions(granted)
