"""Token records that are forgotten with the process."""

from __future__ import annotations

import msgspec
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from cell0gw.auth.store import ITokenStore
from cell0gw.auth.tokens import Invite, TokenRecord


@implementer(ITokenStore)
class MemoryTokenStore:
    """Token records in a dictionary: for tests and for gateways that should leave nothing behind."""

    def __init__(self) -> None:
        self._records: dict[str, TokenRecord] = {}
        self._invites: dict[str, Invite] = {}

    def load(self) -> list[TokenRecord]:
        """See L{ITokenStore}."""
        return list(self._records.values())

    def add(self, record: TokenRecord) -> Deferred[None]:
        """See L{ITokenStore}."""
        self._records[record.token_id] = record
        return succeed(None)

    def revoke(self, token_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        for token_id in self._records.keys() & token_ids:
            self._records[token_id] = msgspec.structs.replace(self._records[token_id], revoked=True)
        return succeed(None)

    def remove(self, token_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        for token_id in token_ids:
            gone = self._records.pop(token_id, None)
            for record in list(self._records.values()):
                if gone is not None and record.renewed_from == token_id:
                    self._records[record.token_id] = msgspec.structs.replace(record, renewed_from=gone.renewed_from)
        return succeed(None)

    def load_invites(self) -> list[Invite]:
        """See L{ITokenStore}."""
        return list(self._invites.values())

    def invite(self, invite: Invite) -> Deferred[None]:
        """See L{ITokenStore}."""
        self._invites[invite.invite_id] = invite
        return succeed(None)

    def redeem(self, invite_id: str, record: TokenRecord) -> Deferred[None]:
        """See L{ITokenStore}."""
        self._invites.pop(invite_id, None)
        return self.add(record)

    def remove_invites(self, invite_ids: list[str]) -> Deferred[None]:
        """See L{ITokenStore}."""
        for invite_id in invite_ids:
            self._invites.pop(invite_id, None)
        return succeed(None)
