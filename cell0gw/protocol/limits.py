"""The table of limits: the maximum of everything that a peer may have or send."""

from __future__ import annotations

from typing import Final

import msgspec

from cell0gw.protocol.buckets import Rate
from cell0gw.protocol.subjects import MAX_LENGTH

KIB: Final = 1024
MIB: Final = 1024 * KIB

UNAUTHENTICATED_MESSAGE_SIZE: Final = 64 * KIB
"""Maximum bytes of a message before authentication: enough for a token."""

MAX_DEPTH: Final = 64
"""Maximum depth to which arrays and objects of a message may nest."""

MAX_ID_LENGTH: Final = 128
"""Maximum bytes of the id of a request, as it stands in the message."""

MAX_BAD_TOKENS: Final = 5
"""Failed authentications after which a connection is closed."""

BAD_TOKENS_A_MINUTE: Final = 10
"""Maximum failed authentications per address and minute; further ones are rate-limited."""

ALL_BAD_TOKENS_A_MINUTE: Final = 1000
"""Maximum failed authentications per minute from all addresses together."""

ERROR_WINDOW: Final = 10.0
"""Seconds over which the errors of a connection are counted."""

MAX_FRAGMENTS: Final = 1024
"""Maximum fragments of a message, empty ones included."""

FRAGMENT_COST: Final = 128
"""Bytes that each fragment counts for beside its payload: it costs that much to keep."""

MAX_PAGE: Final = 1000
"""Maximum messages in an answer of C{channel.history}."""

MAX_LISTED: Final = 10_000
"""Maximum channels in an answer of C{channel.list}."""

MAX_CAPABILITIES: Final = 100
"""Maximum capabilities that a session declares."""

MAX_PERMISSIONS: Final = 200
"""Maximum permissions of a token: they are kept for as long as it is."""

MAX_METADATA_SIZE: Final = 8 * KIB
"""Maximum bytes of JSON of the metadata of a presence entry: everyone who asks for presence gets it."""

MAX_TTL: Final = 30 * 86_400
"""Maximum seconds that a message may wait for its recipient."""

MAX_DETAIL: Final = 1000
"""Maximum characters of the C{detail} of an acknowledgement."""

FRAGMENT_RATE: Final = Rate(2000, 4000)
"""Maximum rate of the fragments of a connection. Each costs as much as a message, and counts for none."""

CONTROL_FRAME_RATE: Final = Rate(50, 200)
"""Maximum rate of the pings, pongs and closes of a connection."""

RENEWAL_RATE: Final = Rate(1 / 60, 10)
"""Maximum rate at which an entity renews its tokens: each renewal leaves a record, until a week after its end."""

PONG_RATE: Final = Rate(10, 20)
"""Maximum rate of the pongs of a connection: pings beyond it are answered by one, to the latest of them. RFC 6455,
section 5.5.3
"""


class MailLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the mail that waits, and of conversations. Sizes are bytes, times seconds.

    @ivar mail_ttl: how long a message waits whose sender names no time.
    @ivar heartbeat_timeout: how long a connection may be broken without anyone knowing.
    @ivar idempotency_window: how long an idempotency key stands for its message.
    """

    mail_ttl: float
    mailbox_messages: int
    mailbox_bytes: int
    sender_messages: int
    total_mailbox_bytes: int
    max_hops: int
    conversation_rate: int
    heartbeat_timeout: float
    idempotency_window: float


class Limits(msgspec.Struct, kw_only=True):
    """The limits that an operator sets. `connection.welcome` announces them.

    Sizes are bytes, `auth_timeout` is seconds. 0 is no limit, where the option of that name says so.
    """

    # All parts of a gateway share one object: change() reaches them all.

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
