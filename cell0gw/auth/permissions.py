"""What a permission covers.

A permission is ``*`` (everything), ``<namespace>.*``, ``<method>``, or ``<method>:<pattern>``, which reaches only the
resources that the pattern covers: ``channel.publish:tasks.>``. Names that begin with ``$`` are reached by ``*`` and by
a permission that spells them, never by a namespace or a bare method.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Annotated, Final

from msgspec import Meta

from cell0gw.protocol import subjects

EVERYTHING: Final = "*"

AGENT_PERMISSIONS: Final = ("session.*", "presence.*", "channel.*", "agent.*")
"""What a token gets when its minter names no permissions: all an agent does, no minting, no statistics."""

MINT: Final = "auth.generateToken"
"""Minting for others is a resource of its own: without a pattern the permission reaches only the bearer's own ids."""

MAX_SHOWN: Final = 10
"""Maximum permissions that a refusal shows of those that a caller has."""

_FORM = r"\*|[A-Za-z][A-Za-z0-9_]*\.(\*|[A-Za-z][A-Za-z0-9_]*(:[$A-Za-z0-9_.:*>-]+)?)"

Permission = Annotated[str, Meta(min_length=1, max_length=300, pattern=rf"^({_FORM})$(?!\n)")]
"""A permission in a request."""


RULE: Final = "a permission is *, <namespace>.*, <method> or <method>:<pattern>"
"""What permissions look like, for people."""


def why_no_permission(text: str) -> str:
    """Why a text is no permission, for people."""
    return RULE


def is_permission(text: str) -> bool:
    """Whether this is a well-formed permission, its pattern included."""
    if re.fullmatch(_FORM, text) is None:
        return False
    _, colon, pattern = text.partition(":")
    return not colon or subjects.is_pattern(pattern) or pattern in subjects.OWN_CHANNELS


class Permissions:
    """What a token allows: a set of permissions, taken apart once.

    @param permissions: well-formed ones, see L{is_permission}.
    """

    __slots__ = ("_any", "_everything", "_methods", "_namespaces", "_patterns", "granted")

    def __init__(self, permissions: Iterable[str]) -> None:
        self.granted = tuple(permissions)
        self._everything = EVERYTHING in self.granted
        self._namespaces = frozenset(p[:-2] for p in self.granted if p.endswith(".*") and ":" not in p)
        self._methods = frozenset(p for p in self.granted if ":" not in p)
        self._any: dict[str, bool] = {}
        self._patterns: dict[str, list[str]] = {}
        for permission in self.granted:
            method, colon, pattern = permission.partition(":")
            if colon:
                self._patterns.setdefault(method, []).append(pattern)

    def allow(self, method: str) -> bool:
        """Whether the method may be called at all, on some resource or on any."""
        return self._allow_all_of(method) or method in self._patterns

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
        return self._everything or any(subjects.covers(p, resource) for p in self._patterns.get(method, ()))

    def covers(self, permission: str) -> bool:
        """Whether C{permission} gives nothing that these don't give already."""
        if self._everything:
            return True
        method, colon, pattern = permission.partition(":")
        if colon:
            return self.grants_by_pattern(method, pattern) if method == MINT else self.allow_on(method, pattern)
        if permission.endswith(".*"):
            return permission[:-2] in self._namespaces
        return self._allow_all_of(permission)

    def intersect(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """As much of C{wanted} as these include: each whole, or what of it is held."""
        kept: dict[str, None] = {}
        for permission in wanted:
            if self.covers(permission):
                kept[permission] = None
            else:
                narrower = Permissions((permission,))
                kept.update((own, None) for own in self.granted if narrower.covers(own))
        return tuple(kept)

    def _allow_all_of(self, method: str) -> bool:
        return self._everything or method in self._methods or method.partition(".")[0] in self._namespaces
