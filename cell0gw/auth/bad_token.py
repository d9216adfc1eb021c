"""Tokens that are not valid: what their bearers are told, and what an operator may know."""

from __future__ import annotations

from typing import Final, Literal

from cell0gw.auth.tokens import TokenRecord
from cell0gw.protocol.errors import NotAuthenticated

BAD_TOKEN: Final = "Invalid token"
"""The error for every token that is not valid: one text for all, so that guessing teaches nothing."""

Cause = Literal["wrong", "expired", "revoked", "too_many", "exceeds"]


class BadToken(NotAuthenticated):
    """A token is not valid. Its bearer is told L{BAD_TOKEN}, whatever the cause.

    @ivar cause: C{wrong}: there is no such token; C{too_many}: it was not looked up, since others were wrong before.
    @ivar record: the token's; None: there is none, or it was not looked up.
    """

    said: str = BAD_TOKEN

    def __init__(self, cause: Cause, record: TokenRecord | None = None) -> None:
        super().__init__(self.said)
        self.cause: Cause = cause
        self.record = record


def check(record: TokenRecord, now: float) -> None:
    """See that a token is valid.

    @param now: seconds since the epoch.
    @raise BadToken: it has expired, or was revoked.
    """
    if not record.valid(now):
        raise BadToken("revoked" if record.revoked else "expired", record)
