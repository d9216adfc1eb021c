"""How sessions end, and the connections that they are of."""

from __future__ import annotations

from enum import Enum
from typing import Final

import msgspec

from cell0gw.protocol.errors import CloseCode

NO_CODE: Final = 1005
"""What a close without a code is called, as browsers send it unless told otherwise. RFC 6455, section 7.1.5"""

TOO_BIG: Final = 1009
"""A message is longer than the other end takes. RFC 6455, section 7.4.1"""

_GOODBYES: Final = frozenset({1000, NO_CODE})


class EndingKind(Enum):
    """What ended it. The values are the reasons given for endings without a close code."""

    GOODBYE = "goodbye"
    """The client closed the connection for good, and had read all."""

    CLOSED = "closed"
    """The connection was closed in any other way: with a code, most often."""

    EXPELLED = "expelled"
    """The gateway closed it with a code that says not to come back as one is."""

    LOST = "lost"
    """The connection broke."""

    ABORTED = "aborted"
    """The gateway dropped the connection without a close frame."""

    RESUMED = "resumed"
    """Another session has resumed this one."""

    TOKEN_EXPIRED = "token expired"
    TOKEN_REVOKED = "token revoked"


class Ending(msgspec.Struct, frozen=True):
    """The end of a session, or of its connection. As text it is the close code, or what the kind says.

    @ivar code: the close code; None: there was no close.
    @ivar words: what the gateway said of it when it closed the connection; empty: nothing.
    @ivar by_client: whether the client has closed it.
    """

    kind: EndingKind
    code: int | None = None
    words: str = ""
    by_client: bool = False

    def __str__(self) -> str:
        return self.kind.value if self.code is None else str(self.code)

    @property
    def reason(self) -> str:
        """Why, for people: the gateway's own words, or what the kind says."""
        return self.words or self.kind.value

    @property
    def refuses_size(self) -> bool:
        """Whether the client has closed it because a message was longer than it takes."""
        return self.by_client and self.code == TOO_BIG

    @property
    def is_final(self) -> bool:
        """Whether the end of a connection is that of its session, which can't be resumed."""
        return self.kind in (EndingKind.GOODBYE, EndingKind.EXPELLED)


def closed(code: int | None, by_gateway: bool, words: str = "") -> Ending:
    """The end of a connection that was closed.

    @param code: as it was sent; None: there was none.
    @param words: what the gateway said of it.
    """
    sent = NO_CODE if code is None else int(code)
    if by_gateway:
        kind = EndingKind.EXPELLED if sent >= CloseCode.BAD_TOKEN else EndingKind.CLOSED
    else:
        kind = EndingKind.GOODBYE if sent in _GOODBYES else EndingKind.CLOSED
    return Ending(kind, sent, words, not by_gateway)
