"""The token that opens the first session of a new gateway."""

from __future__ import annotations

import sys

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from cell0gw.auth.credentials import Credentials
from cell0gw.process.state import StateFolder

_log = Logger()


def first_token(credentials: Credentials, chosen: str | None, state: StateFolder) -> Deferred[None]:
    """Make sure that there is an admin token: the operator's own, or one that is minted here.

    @param chosen: the operator's own; None: there is none.
    """
    if chosen is not None:
        credentials.accept(chosen)
    elif not len(credentials):
        minting = credentials.mint_admin(state.keep_admin_token)
        return Deferred.fromCoroutine(minting).addCallback(lambda minted: _show(minted.token, state))
    return succeed(None)


def _show(token: str, state: StateFolder) -> None:
    _log.info("the admin token is in {path}", event="admin_token.kept", path=str(state.admin_token))
    terminal = sys.__stderr__  # sys.stderr is the log by now
    if terminal is not None and terminal.isatty():
        terminal.write(f"The admin token, shown this once (kept in {state.admin_token}):\n{token}\n")
