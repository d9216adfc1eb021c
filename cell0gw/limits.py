"""The table of limits: how much of everything a peer gets."""

from __future__ import annotations

from typing import Final

import msgspec

KIB: Final = 1024
MIB: Final = 1024 * KIB

UNAUTHENTICATED_MESSAGE_SIZE: Final = 64 * KIB
"""The longest message before authentication, in bytes: enough for a token, little for a stranger."""

MAX_DEPTH: Final = 64
"""How deep arrays and objects of a message may be nested."""

MAX_ID_LENGTH: Final = 128
"""The longest id of a request, in bytes as it stands in the message."""

MAX_BAD_TOKENS: Final = 5
"""The wrong token with this number closes the connection."""

MAX_PAGE: Final = 1000
"""How many messages C{channel.history} shows at once."""

MAX_LISTED: Final = 10_000
"""How many channels C{channel.list} shows."""

MAX_CAPABILITIES: Final = 100
"""How many capabilities one session declares."""

MAX_METADATA_SIZE: Final = 8 * KIB
"""The longest metadata of a presence entry, in bytes of JSON: everyone who asks for presence gets it."""


MAX_TTL: Final = 30 * 86_400
"""The longest a message may wait, in seconds."""

MAX_DETAIL: Final = 1000
"""The longest C{detail} of an acknowledgement, in characters."""

OUTBOUND_LIMIT: Final = 1 * MIB
"""So many bytes may wait for a peer to read; then it is slow, and gets no more mail and no more calls."""


class MailLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much mail may wait, and how long; and how long conversations may be. Sizes are bytes, C{mail_ttl} seconds."""

    mail_ttl: float
    mailbox_messages: int
    mailbox_bytes: int
    sender_messages: int
    total_mailbox_bytes: int
    max_hops: int
    conversation_rate: int


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits that an operator sets; C{connection.welcome} announces them.

    Sizes are bytes.
    """

    max_message_size: int = 10 * MIB
    max_batch: int = 50
    max_subscriptions: int = 1000
    max_depth: int = MAX_DEPTH
