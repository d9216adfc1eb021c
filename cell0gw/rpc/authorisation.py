"""Who may call what: by what methods declare, and by what a caller's token allows. No method asks for itself."""

from __future__ import annotations

import msgspec

from cell0gw.auth.grants import denied
from cell0gw.auth.permissions import Permissions
from cell0gw.protocol.errors import InvalidParams, NotAuthenticated
from cell0gw.rpc.methods import ALLOWED_CROSS_ORIGIN, Method
from cell0gw.sessions.session import Caller


def allows(permissions: Permissions, method: Method, resource: str) -> bool:
    """Whether some permissions let a method be called on a resource."""
    return resource in method.access.open or permissions.allow_on(method.permission, resource)


def check_anonymous(caller: Caller, method: Method, anonymous_reads: bool) -> None:
    """
    @raise NotAuthenticated: it takes a token to call this.
    """
    who = method.access.who
    if who not in ("anyone", "reader"):
        raise NotAuthenticated
    if who == "reader" and not anonymous_reads:
        raise NotAuthenticated("Not authenticated: anonymous reads are switched off")
    if caller.foreign and method.name not in ALLOWED_CROSS_ORIGIN:
        raise NotAuthenticated("Not authenticated: the Origin of this connection is not among allowed_origins")


def authorise(caller: Caller, method: Method, params: bytes | memoryview) -> msgspec.Struct:
    """Judge in the documented order: permission, params, permission on the resource.

    @return: the params.
    """
    who = method.access.who
    if who == "permission":
        assert caller.principal is not None
        return _permitted(method, caller.principal.permissions, params)
    if who == "session" and caller.session is None:
        raise NotAuthenticated
    return method.decode(params)


def _permitted(method: Method, permissions: Permissions, raw: bytes | memoryview) -> msgspec.Struct:
    whole = permissions.allow_any(method.permission)
    # A pattern on a method that is about nothing is not the whole method.
    allowed = whole or (method.resource is not None and permissions.allow(method.permission))
    if not (allowed or method.access.open):
        raise denied(permissions, method.permission, method.resource_of(raw))
    try:
        params = method.decode(raw)
    except InvalidParams:
        if allowed:
            raise
        raise denied(permissions, method.permission) from None
    if method.resource is not None:
        resource = method.resource(params)
        if resource is None:
            if not (whole or method.access.optional):  # an optional one keeps to what is covered
                raise denied(permissions, method.permission)
        # What begins with a $ is not among what clients may name.
        elif not ((whole and resource[:1] != "$") or allows(permissions, method, resource)):
            raise denied(permissions, method.permission, resource)
    return params
