"""The table of limits: how much of everything a peer gets."""

from __future__ import annotations

from typing import Final

import msgspec

from cell0gw.protocol.buckets import Rate
from cell0gw.protocol.subjects import MAX_LENGTH

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

BAD_TOKENS_A_MINUTE: Final = 10
"""So many wrong tokens from one address are told apart; those that follow are told to wait."""

ALL_BAD_TOKENS_A_MINUTE: Final = 1000
"""So many from all addresses together."""

ERROR_WINDOW: Final = 10.0
"""Over how many seconds the errors of a connection are counted."""

MAX_FRAGMENTS: Final = 1024
"""How many fragments a message may come in, empty ones included."""

FRAGMENT_COST: Final = 128
"""What each fragment counts for beside its payload, in bytes: it costs that much to keep."""

MAX_PAGE: Final = 1000
"""How many messages C{channel.history} shows at once."""

MAX_LISTED: Final = 10_000
"""How many channels C{channel.list} shows."""

MAX_CAPABILITIES: Final = 100
"""How many capabilities one session declares."""

MAX_PERMISSIONS: Final = 200
"""How many permissions one token has: they are kept for as long as it is."""

MAX_METADATA_SIZE: Final = 8 * KIB
"""The longest metadata of a presence entry, in bytes of JSON: everyone who asks for presence gets it."""


MAX_TTL: Final = 30 * 86_400
"""The longest a message may wait, in seconds."""

MAX_DETAIL: Final = 1000
"""The longest C{detail} of an acknowledgement, in characters."""

FRAGMENT_RATE: Final = Rate(2000, 4000)
"""Fragments of one connection. Each costs as much as a message, and counts for none."""

CONTROL_FRAME_RATE: Final = Rate(50, 200)
"""Pings, pongs and closes of one connection."""

PONG_RATE: Final = Rate(10, 20)
"""Pings beyond this are answered by one pong, to the latest of them. RFC 6455, section 5.5.3"""


class MailLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much mail may wait, and how long; and how long conversations may be. Sizes are bytes, C{mail_ttl} seconds."""

    mail_ttl: float
    mailbox_messages: int
    mailbox_bytes: int
    sender_messages: int
    total_mailbox_bytes: int
    max_hops: int
    conversation_rate: int


class Limits(msgspec.Struct, kw_only=True):
    """The limits that an operator sets; C{connection.welcome} announces them. All parts of a gateway have the same
    object, so that L{change} reaches them.

    Sizes are bytes, C{auth_timeout} seconds; 0 is no limit where C{config.OPTIONS} says so.
    """

    max_message_size: int = 10 * MIB
    max_batch: int = 50
    max_subscriptions: int = 1000
    max_depth: int = MAX_DEPTH
    max_name_length: int = MAX_LENGTH
    max_in_flight: int = 64
    calls_per_second: int = 5000
    calls_burst: int = 2500
    entity_calls_per_second: int = 20_000
    entity_calls_burst: int = 10_000
    max_errors: int = 50
    outbound_limit: int = 1 * MIB
    total_outbound_limit: int = 512 * MIB
    max_connections: int = 10_000
    max_connections_per_address: int = 0
    max_unauthenticated: int = 10_000
    max_unauthenticated_per_address: int = 1000
    auth_timeout: float = 30.0

    def change(self, limits: Limits) -> None:
        """Let these be as others are, from now on."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(limits, name))
