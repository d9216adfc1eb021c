"""Where token records outlive the process."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import Interface

from cell0gw.auth.tokens import Invite, TokenRecord


class ITokenStore(Interface):
    """Where token records, and invites, outlive the process. Every Deferred fires once that is safe."""

    def load() -> list[TokenRecord]:
        """Every record that is kept; called once, before anything else."""

    def add(record: TokenRecord) -> Deferred[None]:
        """Keep a record.

        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def revoke(token_ids: list[str]) -> Deferred[None]:
        """Mark records as revoked.

        @raise Unavailable: by the Deferred, when that can't be written down.
        """

    def remove(token_ids: list[str]) -> Deferred[None]:
        """Forget records. What was renewed from one of them counts as renewed from what that one was renewed from.

        @raise Unavailable: by the Deferred, when that can't be written down.
        """

    def load_invites() -> list[Invite]:
        """Every invite that is kept; called once, after L{load}."""

    def invite(invite: Invite) -> Deferred[None]:
        """Keep an invite.

        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def redeem(invite_id: str, record: TokenRecord) -> Deferred[None]:
        """Keep a record and forget the invite that it was minted for: both, or neither.

        @raise Unavailable: by the Deferred, when that can't be written down.
        """

    def remove_invites(invite_ids: list[str]) -> Deferred[None]:
        """Forget invites.

        @raise Unavailable: by the Deferred, when that can't be written down.
        """
