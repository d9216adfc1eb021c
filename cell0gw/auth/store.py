"""Where token records outlive the process."""

from __future__ import annotations

from typing import Any

from zope.interface import Interface


class ITokenStore(Interface):
    """Where token records outlive the process."""

    def load() -> list[Any]:
        """Every L{cell0gw.auth.tokens.TokenRecord} kept."""

    def add(record: Any) -> Any:
        """Keep a record.

        @return: a Deferred that fires when it is safe.
        @raise Unavailable: by the Deferred, when it can't be kept.
        """

    def revoke(token_ids: list[str]) -> Any:
        """Mark records as revoked.

        @return: a Deferred that fires when that is safe.
        """

    def remove(token_ids: list[str]) -> Any:
        """Forget records.

        @return: a Deferred that fires when that is done.
        """
