"""What may be granted: permissions that there are, and no more than the minter has.

A permission that no method asks for would show itself days later, as a refusal elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from cell0gw.auth.permissions import EVERYTHING, MINT, RULE, Permissions, is_permission
from cell0gw.auth.principal import EntityType, Principal
from cell0gw.auth.sight import SEE
from cell0gw.protocol.errors import InvalidParams, PermissionDenied
from cell0gw.protocol.patterns import check_width
from cell0gw.protocol.printable import printable
from cell0gw.protocol.subjects import covers
from cell0gw.protocol.suggestions import Choices

MAX_NEEDED: Final = 300
"""Maximum characters of the permission that a refusal names: what somebody wants to reach may be very long."""

Grantable = Callable[[], Mapping[str, bool]]
"""Gives the names of the permissions that there are now, and whether each may be narrowed by a pattern."""


def check_grantable(permissions: Iterable[str], grantable: Grantable, kept: Collection[str] = ()) -> None:
    """See that permissions exist.

    @param kept: those of a token from before, which it keeps even if there are none like that any more.
    @raise InvalidParams: one does not; those that look like it are in C{near}.
    """
    there: Mapping[str, bool] = {}
    for place, permission in enumerate(permissions):
        if permission == EVERYTHING or permission in kept:
            continue
        there = there or grantable()
        _check(permission, f"params.permissions[{place}]", there)


def check_mintable(minter: Principal, entity_id: str, entity_type: EntityType, permissions: Iterable[str]) -> None:
    """See that a token would be no more than its minter's.

    @raise PermissionDenied: it would; C{path} says in what.
    """
    held = minter.permissions
    if not (covers(minter.entity_id, entity_id) or held.grants_by_pattern(MINT, entity_id)):
        needed = f"{MINT}:{entity_id}"
        raise PermissionDenied(
            f"Permission denied: {needed}: your token mints for {minter.entity_id} without it",
            permission=needed,
            held=held.about(MINT),
            path="params.entity_id",
        )
    if entity_type == "system" and minter.entity_type != "system":
        raise PermissionDenied(
            f"Permission denied: only tokens of the type system mint for it, and yours is of {minter.entity_type}",
            path="params.entity_type",
        )
    check_held(held, permissions)


def check_held(held: Permissions, permissions: Iterable[str]) -> None:
    """See that a token would have no permission that another one has not.

    @param held: those of the other one.
    @raise PermissionDenied: it would; C{path} says which.
    """
    for place, permission in enumerate(permissions):
        if not held.covers(permission):
            raise PermissionDenied(
                f"Permission denied: {permission}: your token does not have it, and so can't grant it",
                permission=permission,
                held=held.about(permission),
                path=f"params.permissions[{place}]",
            )


def denied(permissions: Permissions, method: str, resource: str = "") -> PermissionDenied:
    """The refusal of a method to a bearer of these permissions.

    @param resource: what the method was to be called on; empty: that is not known, or nothing.
    """
    needed = printable(f"{method}:{resource}" if resource else method, MAX_NEEDED)
    return PermissionDenied(f"Permission denied: {needed}", permission=needed, held=permissions.about(method))


def _check(permission: str, path: str, there: Mapping[str, bool]) -> None:
    got = f"got '{printable(permission)}'"
    if not is_permission(permission):
        raise InvalidParams(f"Invalid params: {path}: {RULE}, {got}", path=path)
    name, colon, pattern = permission.partition(":")
    namespaces = dict.fromkeys(f"{method.partition('.')[0]}.*" for method in there)
    if name not in there and name not in namespaces:
        near = Choices(namespaces if name.endswith(".*") else there).near(name)
        near = [f"{other}{colon}{pattern}" if there.get(other) else other for other in near]
        raise InvalidParams(f"Invalid params: {path}: there is no {name}; {RULE}, {got}", path=path, near=near)
    if colon and not there[name]:
        raise InvalidParams(f"Invalid params: {path}: {name} takes no pattern, {got}", path=path, near=[name])
    if colon and name == SEE:
        check_width(pattern, path.removeprefix("params."))
