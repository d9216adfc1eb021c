"""The table of limits: the maximum of everything that a peer may have or send."""

from __future__ import annotations

from typing import Final

import msgspec

from cell0gw.protocol.buckets import Rate
from cell0gw.protocol.errors import TooLarge
from cell0gw.protocol.subjects import MAX_LENGTH

KIB: Final = 1024
MIB: Final = 1024 * KIB

UNAUTHENTICATED_MESSAGE_SIZE: Final = 64 * KIB
"""Maximum bytes of a message before authentication: enough for a token."""

MAX_DEPTH: Final = 64
"""Maximum depth to which arrays and objects of a message may nest."""

MAX_BRACKETS: Final = 500_000
"""Maximum opening brackets and braces of a message, those in its strings included: each takes longer to read than many
other bytes.
"""

MAX_ID_LENGTH: Final = 128
"""Maximum bytes of the id of a request, as it stands in the message."""

MAX_HEAD_SIZE: Final = 16 * KIB
"""Maximum bytes of the head of a handshake, unless the option says otherwise: browsers send cookies of other servers on
the same host, and most servers read as much.
"""

ENVELOPE: Final = 4 * KIB
"""Maximum bytes of what stands around a message, a result or a list in what the gateway sends, names and ids of any
length included.
"""

MAX_BAD_TOKENS: Final = 5
"""Failed authentications after which a connection is closed."""

BAD_TOKENS_A_MINUTE: Final = 10
"""Maximum failed authentications per address and minute; further ones are rate-limited."""

ALL_BAD_TOKENS_A_MINUTE: Final = 1000
"""Maximum failed authentications per minute from all addresses together."""

ERROR_WINDOW: Final = 10.0
"""Seconds over which the errors of a connection are counted."""

MAX_FRAGMENTS: Final = 1024
"""Maximum fragments of a message, empty ones included, beside those that its length allows."""

FRAGMENT_SIZE: Final = 64
"""Bytes of a message for each of which it may have one more fragment. Some libraries send what they compress as they
compress it: coder/websocket for Go in fragments of 236 and of 4 bytes by turns.
"""

FRAGMENT_COST: Final = 128
"""Bytes that each fragment counts for beside its payload: it costs that much to keep."""

MAX_PAGE: Final = 1000
"""Maximum messages in an answer of C{channel.history}."""

MAX_LISTED: Final = 10_000
"""Maximum channels in an answer of C{channel.list}."""

MAX_CAPABILITIES: Final = 100
"""Maximum capabilities that a session declares."""

MAX_ENTITY_CAPABILITIES: Final = 500
"""Maximum capabilities that all sessions of an entity declare together: each entry of it has them all."""

MAX_ENTITY_CAPABILITIES_SIZE: Final = 32 * KIB
"""Maximum bytes of them in an entry: with each word that the entity says, all who watch it get them again."""

MAX_PERMISSIONS: Final = 200
"""Maximum permissions of a token: they are kept for as long as it is."""

TOKEN_SIZE: Final = 1 * KIB
"""Bytes that a token counts for beside the text of its permissions: that much its record takes in memory."""

MAX_TOKENS_SIZE: Final = 256 * MIB
"""Maximum bytes of all tokens that have not expired, some 250,000; a quarter is kept for minters of the type
C{system}."""

MAX_TOKENS_OF_MINTER_SIZE: Final = 32 * MIB
"""Maximum bytes of the tokens that one entity has minted, some 30,000, unless it is of the type C{system}; renewed ones
count for the entity that has renewed them."""

MAX_EXPIRED_SIZE: Final = 16 * MIB
"""Maximum bytes of the tokens that have expired and are still known, some 15,000: those that expired first go first."""

INVITE_SIZE: Final = 1 * KIB
"""Bytes that an invite counts for beside its permissions: no more than that it takes in memory."""

INVITE_PERMISSION_SIZE: Final = 64
"""Bytes that each of those counts for beside its text."""

MAX_INVITES_SIZE: Final = 16 * MIB
"""Maximum bytes of all invites that are outstanding, some 15,000; a quarter is kept for creators of the type
C{system}."""

MAX_INVITES_OF_CREATOR_SIZE: Final = 1 * MIB
"""Maximum bytes of the outstanding invites of one entity, some 1,000, unless it is of the type C{system}."""

MAX_METADATA_SIZE: Final = 8 * KIB
"""Maximum bytes of JSON of the metadata of a presence entry: everyone who asks for presence gets it."""

MAX_LEASE_MS: Final = 86_400_000
"""Maximum milliseconds for which mail, or a task, is kept for somebody without a sign of life, or kept back."""

MIN_LEASE_MS: Final = 1000
"""Minimum milliseconds of such a lease."""

MAX_WAIT_MS: Final = 60_000
"""Maximum milliseconds for which a request waits for mail, or for tasks."""

MAX_ID: Final = 200
"""Maximum characters of an id of a message or a call, or of a key, in a request."""

MAX_TTL: Final = 30 * 86_400
"""Maximum seconds that a message may wait for its recipient."""

MAX_DETAIL: Final = 1000
"""Maximum characters of the C{detail} of an acknowledgement."""

FRAGMENT_RATE: Final = Rate(2000, 4000)
"""Maximum rate of the fragments of a connection. Each costs as much as a message, and counts for none."""

FRAGMENT_REST: Final = 0.05
"""Seconds that nothing is read when fragments come faster, in a message that has L{FRAGMENT_SIZE} bytes for each."""

CONTROL_FRAME_RATE: Final = Rate(50, 200)
"""Maximum rate of the pings, pongs and closes of a connection."""

RENEWAL_RATE: Final = Rate(1 / 60, 10)
"""Maximum rate at which an entity renews its tokens: each renewal leaves a record, until a week after its end."""

PONG_RATE: Final = Rate(10, 100)
"""Maximum rate of the pongs of a connection: pings beyond it are answered by one, to the latest of them (RFC 6455,
section 5.5.3). Some clients wait for the pong to each ping, and send many at once.
"""


class MailLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of the mail that waits, and of conversations. Sizes are bytes, times seconds.

    @ivar mail_ttl: how long a message waits whose sender names no time.
    @ivar max_attempts: how many failed attempts to bring a message make it a dead letter; 0: any number is taken.
    @ivar heartbeat_timeout: how long a connection may be broken without anyone knowing.
    @ivar idempotency_window: how long an idempotency key stands for its message.
    """

    mail_ttl: float
    mailbox_messages: int
    mailbox_bytes: int
    sender_messages: int
    total_mailbox_bytes: int
    max_attempts: int
    max_hops: int
    conversation_rate: int
    heartbeat_timeout: float
    idempotency_window: float


class Limits(msgspec.Struct, kw_only=True):
    """The limits that an operator sets. `connection.welcome` announces them.

    Sizes are bytes. 0 is no limit, where the option of that name says so. Messages, calls, errors and what waits to be
    read are counted by connection.

    - `max_message_size`: bytes of a message after decompression, 64 KiB before authentication: close code 1009. An
      answer that would be larger is the error -32005 instead. What is relayed in a message, such as a publication, has
      4 KiB less, for what stands around it: -32005
    - `max_batch`: requests in a batch: the whole batch is -32600
    - `max_subscriptions`: channels and patterns of one session: -32005
    - `max_depth`: arrays and objects within each other, anywhere in a message: -32700
    - `max_name_length`: characters of the name of a channel or an entity: -32602
    - `max_in_flight`: requests that wait for the gateway's disk: the gateway reads no more until half of them are
      answered. Calls to agents don't count
    - `calls_per_second`: calls, and all other messages, per second; long and slow ones count for several. A request
      beyond it is -32003, with `retry_after_ms`; all else is carried out, and nothing is read until that is paid
    - `calls_burst`: calls at once after a silence. A client that goes on, and has as many refused as fast, is closed:
      4013
    - `entity_calls_per_second`: calls per second of all connections of an entity together
    - `entity_calls_burst`: calls at once of all connections of an entity together
    - `max_errors`: requests in 10 seconds that are refused with -32700, -32600, -32601, -32602, -32001 or -32002: close
      code 4509
    - `outbound_limit`: bytes that wait for the client to read them when more is to be sent, beside two messages of any
      length: close code 4008
    - `total_outbound_limit`: bytes that wait for all connections together: those that read least are closed, 4008
    - `total_inbound_limit`: bytes kept of messages of all connections that have not come to their end: those of which
      most is kept are closed, 4013
    - `max_connections`: connections in all: HTTP 503. The last of them, one in 16 and 8 at most, are for tokens of the
      type `system`: others get -32003 and close code 4014
    - `max_connections_per_entity`: connections of one entity: -32003 and close code 4504
    - `max_connections_per_address`: connections from one address (IPv6: one /64): close code 4504
    - `max_unauthenticated`: connections that have not authenticated: the oldest of them is closed, 4502
    - `max_unauthenticated_per_address`: the same for those from one address
    - `auth_timeout`: seconds until a connection must have authenticated: close code 4502
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
    total_inbound_limit: int = 256 * MIB
    max_connections: int = 10_000
    max_connections_per_entity: int = 5000
    max_connections_per_address: int = 0
    max_unauthenticated: int = 10_000
    max_unauthenticated_per_address: int = 1000
    auth_timeout: float = 30.0

    @property
    def max_content_size(self) -> int:
        """Maximum bytes of JSON that fit into a message of the gateway's beside all else that is in it."""
        return self.max_message_size - min(ENVELOPE, self.max_message_size // 2)

    def check_content(self, size: int) -> None:
        """Whether something of that size may be relayed: what was taken can be brought, and read back.

        @raise TooLarge: it may not.
        """
        most = self.max_content_size
        if size > most:
            raise TooLarge(f"What is relayed has at most {most} bytes, and this has {size}", max_content_size=most)

    def change(self, limits: Limits) -> None:
        """Let these be as others are, from now on."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(limits, name))


def in_share(own: int, more: int, used: int, limit: int) -> bool:
    """Whether somebody may have more of what all use: nobody may have more of it than they leave to others.

    @param own: what they have of it; C{more}: what they ask for.
    @param used: what all have of it, they included.
    @param limit: how large it is.
    """
    return own + more <= limit - used
