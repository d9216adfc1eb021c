"""What the tokens prove that clients send, and what becomes of clients that send wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cell0gw.auth.bad_token import BadToken
from cell0gw.auth.credentials import Credentials
from cell0gw.auth.invites import BadInvite
from cell0gw.auth.principal import Principal
from cell0gw.guard.bad_tokens import BadTokens
from cell0gw.monitoring.audit import Audit
from cell0gw.protocol.errors import CloseCode
from cell0gw.protocol.limits import MAX_BAD_TOKENS
from cell0gw.sessions.session import Caller


class Verifier:
    """Verifies tokens, and counts wrong ones, and wrong invites: by connection, and by address."""

    def __init__(self, credentials: Credentials, bad_tokens: BadTokens, audit: Audit) -> None:
        self._credentials = credentials
        self._bad_tokens = bad_tokens
        self._audit = audit

    def principal(self, caller: Caller, method: str, token: str) -> Principal:
        """What a token proves, for the one who sent it by a method.

        @raise BadToken: it is wrong, expired or revoked.
        """
        with self.counting(caller, method, BadToken):
            return self._credentials.verify(token)

    @contextmanager
    def counting(self, caller: Caller, method: str, refused: type[BadToken]) -> Iterator[None]:
        """Look up what a client sent by a method, in a C{with} block; what raises L{BadToken} there counts as wrong.

        @param refused: what is raised when too many were wrong before; then nothing is looked up.
        """
        connection = caller.connection
        try:
            if connection is not None and connection.bad_tokens >= MAX_BAD_TOKENS:
                raise refused("too_many")  # a batch can't go on guessing
            yield
        except BadToken as refusal:
            if connection is not None:
                connection.bad_tokens += 1
                if connection.bad_tokens >= MAX_BAD_TOKENS:
                    connection.close_when_answered(CloseCode.BAD_TOKEN, "too many wrong tokens")
                self._tell(caller, method, refusal)
                self._bad_tokens.wrong(connection.address)
            raise

    def _tell(self, caller: Caller, method: str, refusal: BadToken) -> None:
        """An operator may know which one it was and why it was refused; the bearer is told nothing."""
        if isinstance(refusal, BadInvite):
            invite = refusal.invite
            whose = {} if invite is None else {"entity_id": invite.entity_id}
            named = {"refused": whose | {"invite_id": refusal.invite_id}} if refusal.invite_id else {}
            self._audit.refused("authentication.refused", caller, method, refusal.cause, **named)
            return
        record, details = refusal.record, {}
        if record is not None:
            about = {"entity_id": record.entity_id, "token_id": record.token_id}
            # An unauthenticated client is taken for the one that has had this token; a session is its own entity.
            details = {"refused": about} | (about if caller.session is None else {})
        self._audit.refused("authentication.refused", caller, method, refusal.cause, **details)
