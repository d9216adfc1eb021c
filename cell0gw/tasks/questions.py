"""Questions of agents that have tasks: whom they may ask."""

from __future__ import annotations

from cell0gw.agents.mail.receipts import SEND
from cell0gw.agents.mail.sending import Mail
from cell0gw.auth.grants import denied
from cell0gw.protocol.errors import InvalidParams, NotFound
from cell0gw.protocol.subjects import has_wildcard
from cell0gw.sessions.session import Sender


def check_askable(sender: Sender, to: str, mail: Mail) -> None:
    """Whether an agent may ask somebody: those whom it may write to, if there are such.

    @param to: an entity, or a pattern of them.
    @raise InvalidParams: it asks itself, or the pattern is none of those by which questions are looked up.
    @raise PermissionDenied: it may not.
    @raise NotFound: there is nobody like that, or none for it to know of.
    """
    if to == sender.entity_id:
        raise InvalidParams("Invalid params: params.to: nobody is asked by itself", path="params.to")
    head, _, _ = to.rpartition(".")
    if has_wildcard(head):
        why = "only the last segment may be a wildcard"
        raise InvalidParams(f"Invalid params: params.to: {why}", path="params.to")
    if not sender.permissions.allow_on(SEND, to):
        raise denied(sender.permissions, SEND, to)
    many = has_wildcard(to)
    known = mail.reaches_some if many else mail.reaches
    if not (sender.knows(SEND, to) and known(to)):
        raise NotFound(f"Nobody is called {to}", near=[] if many else mail.near(sender, to))
