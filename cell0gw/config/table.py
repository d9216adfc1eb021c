"""The table of options, in groups: what each is called, how its value is read, and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cell0gw.config.parsers import (
    boolean,
    duration,
    head_size,
    host,
    integer,
    list_of,
    message_size,
    one_of,
    origin,
    path,
    positive_duration,
    proxy,
    public_url,
    size,
    text,
    texts,
    token,
    url_path,
)


class Option(NamedTuple):
    """One option.

    @ivar parse: reads its value; its docstring says what that may be, in Markdown.
    @ivar help: what it is for; of a switch, what its flag does.
    @ivar variable: its environment variable.
    @ivar details: what its reference adds to that, in Markdown.
    @ivar secret: whether it has no flag, and never shows in a message.
    @ivar flag_sets: what the flag of a switch sets; it is not the default.
    """

    name: str
    parse: Callable[[Any], Any]
    help: str
    variable: str
    details: str = ""
    secret: bool = False
    flag_sets: bool = False

    @property
    def switch(self) -> bool:
        """Whether it is on or off; its flag has no value."""
        return self.parse is boolean

    @property
    def flag(self) -> str:
        """As on the command line, without the two dashes."""
        name = self.name.replace("_", "-")
        return f"no-{name.removeprefix('enable-')}" if self.switch and not self.flag_sets else name


def _option(
    name: str,
    parse: Callable[[Any], Any],
    help: str,
    details: str = "",
    variable: str | None = None,
    secret: bool = False,
    flag_sets: bool = False,
) -> Option:
    return Option(name, parse, help, variable or f"CELL0_GATEWAY_{name.upper()}", details, secret, flag_sets)


_COUNT: Final = integer(0, 10_000_000)

GROUPS: Final[dict[str, tuple[Option, ...]]] = {
    "The five that matter": (
        _option(
            "host", text, "Address to listen on.",
            "`0.0.0.0` is every IPv4 address, `::` every IPv6 and IPv4 address, a name each address that it has.",
        ),
        _option("port", integer(0, 65535), "Port to listen on; 0 lets the system choose.", "The log says which it is."),
        _option(
            "state_dir", path, "Folder for tokens, durable channels and mail.",
            "It is made if there is none. Under systemd it is another, see docs/operations.md#the-state-folder.",
        ),
        _option(
            "tls_cert", path, "PEM file with the certificate for TLS, and its chain.",
            "With it the gateway speaks TLS, see docs/operations.md#on-the-network.",
        ),
        _option(
            "tls_key", path, "PEM file with the key of the certificate.",
            "SIGHUP reads both files again, but can't switch TLS on or off.",
        ),
    ),
    "Listening, and who may connect": (
        _option(
            "tls_key_passphrase_file", path, "File with the pass phrase of the certificate's key.",
            "Its first and only line, see docs/operations.md#on-the-network.",
        ),
        _option(
            "listen", texts, "Endpoints to listen on instead of host and port, separated by spaces.",
            "See docs/operations.md#listening.",
        ),
        _option(
            "trusted_proxies", list_of(proxy), "Proxies that are believed for whom they connect, separated by commas.",
            "By X-Forwarded-For, or the PROXY protocol. See docs/operations.md#on-the-network.",
        ),
        _option(
            "proxy_protocol", boolean, "Read a header of the PROXY protocol before anything else.",
            "Whether each connection begins with a header of the PROXY protocol, version 1 or 2, see "
            "docs/operations.md#the-proxy-protocol.",
            flag_sets=True,
        ),
        _option(
            "allowed_origins", list_of(origin), "Origins whose pages may connect, separated by commas.",
            "None: any, see docs/operations.md#on-the-network.",
        ),
        _option(
            "allowed_hosts", list_of(host), "Names by which clients may call the gateway, separated by commas.",
            "A host without a port stands for any port. None: any.",
        ),
        _option(
            "path", url_path, "The one path at which clients connect.",
            "None: `/` and `/ws`. It is compared as it is written.",
        ),
        _option("public_url", public_url, "URL in links of invites.", "See docs/operations.md#links-of-invites."),
        _option(
            "max_head_size", head_size, "Maximum size of the head of a handshake, cookies included.",
            "HTTP 431. What heads may cost, see docs/operations.md#on-the-network.",
        ),
    ),
    "Times": (
        _option(
            "heartbeat_interval", positive_duration, "Between two heartbeats.",
            variable="CELL0_HEARTBEAT_INTERVAL",
        ),
        _option(
            "heartbeat_timeout", positive_duration, "Until a silent connection is closed.",
            "Longer than `heartbeat_interval`. Close code 4002.", variable="CELL0_HEARTBEAT_TIMEOUT",
        ),
        _option(
            "auth_timeout", duration, "Until a connection must have authenticated; 0: unlimited.",
            "Close code 4502.",
        ),
        _option(
            "drain_timeout", positive_duration, "Until connections are cut off after SIGTERM.",
            "See docs/operations.md#signals-and-exit-statuses.",
        ),
        _option(
            "drain_accept", duration, "How long newcomers are accepted after SIGTERM, and sent away.",
            "Shorter than `drain_timeout`. See docs/operations.md#signals-and-exit-statuses.",
        ),
    ),
    "Connections": (
        _option(
            "max_connections", integer(1, 10_000_000), "Maximum connections.",
            "As far as the limit of open files allows. The next one gets HTTP 503.",
        ),
        _option(
            "max_connections_per_entity", _COUNT, "Maximum connections of one entity; 0: unlimited.",
            "Close code 4504, see docs/operations.md#shares.",
        ),
        _option(
            "max_connections_per_address", _COUNT, "Maximum connections from one address; 0: unlimited.",
            "For IPv6 an address is one /64. Close code 4504.",
        ),
        _option(
            "max_unauthenticated", _COUNT, "Maximum connections that have not authenticated; 0: unlimited.",
            "With more the oldest of them is closed, 4502.",
        ),
        _option("max_unauthenticated_per_address", _COUNT, "The same for those from one address; 0: unlimited."),
    ),
    "Limits of clients": (
        _option(
            "max_message_size", message_size, "Maximum size of a message.",
            "It holds for answers, too. Unauthenticated clients have 64 KiB whatever it is. Close code 1009.",
        ),
        _option("max_batch", integer(1, 10_000), "Maximum requests in a batch.", "A longer batch is -32600."),
        _option(
            "max_subscriptions", integer(1, 1_000_000), "Maximum subscriptions of a session.",
            "Channels and patterns; one more is -32005.",
        ),
        _option(
            "max_in_flight", integer(1, 1_000_000), "Maximum requests that wait for the disk.",
            "With more nothing is read from the connection until half of them are answered.",
        ),
        _option(
            "calls_per_second", _COUNT, "Maximum calls per second; 0: unlimited.",
            "Of one connection; more are -32003.",
        ),
        _option("calls_burst", integer(1, 10_000_000), "Maximum calls at once.", "Of one connection."),
        _option(
            "entity_calls_per_second", _COUNT, "Maximum calls per second of an entity; 0: unlimited.",
            "All connections of the entity count together.",
        ),
        _option(
            "entity_calls_burst", integer(1, 10_000_000), "Maximum calls at once of an entity.",
            "All connections of the entity count together.",
        ),
        _option(
            "max_errors", integer(0, 1_000_000), "Maximum wrong requests in 10 s; 0: unlimited.",
            "Of one connection; with more it is closed, 4509.",
        ),
        _option(
            "outbound_limit", message_size, "Maximum bytes that wait to be read by the client.",
            "Of one connection; with more it is closed, 4008. Two messages of any length may wait beside that.",
        ),
        _option(
            "total_outbound_limit", size, "Maximum bytes that wait for all clients together; 0: unlimited.",
            "Beyond it the connections that read least are closed, 4008.",
        ),
        _option(
            "total_inbound_limit", size, "Maximum bytes kept of messages that are still coming; 0: unlimited.",
            "Of all clients together, as they came. Beyond it the connections with most of it are closed, 4013.",
        ),
    ),
    "What is kept": (
        _option(
            "resume_window", duration, "How long a session is kept whose connection broke; 0: not at all.",
            "See docs/protocol.md#resuming.",
        ),
        _option("idempotency_window", positive_duration, "How long an idempotency key is remembered."),
        _option(
            "history_bytes", size, "Maximum bytes of its history that a channel holds in memory.",
            "Beyond it the oldest messages are no longer held, see docs/operations.md#memory.",
        ),
        _option(
            "total_history_bytes", size, "Maximum bytes of history that all channels hold in memory.",
            "Beyond it channels of the entity that has published most hold nothing, as of one that has half.",
        ),
        _option(
            "max_database_size", size, "Size to which messages on durable channels may fill the database.",
            "Beyond it they are refused, those of who has most first, see docs/operations.md#on-disk.",
        ),
    ),
    "Mail and conversations": (
        _option(
            "mail_ttl", positive_duration, "How long a message waits, unless its sender says otherwise.",
            "See docs/operations.md#mail.",
        ),
        _option(
            "mailbox_messages", integer(1, 1_000_000), "Maximum messages that wait for one recipient.",
            "See docs/protocol.md#bounds.",
        ),
        _option(
            "mailbox_bytes", size, "Maximum bytes of messages that wait for one recipient.",
            "Into an empty mailbox any message fits.",
        ),
        _option(
            "sender_messages", integer(1, 10_000_000), "Maximum messages of one sender that wait.",
            "To all recipients together.",
        ),
        _option(
            "total_mailbox_bytes", size, "Maximum bytes of messages that wait in all.",
            "And no more than half of `max_database_size`.",
        ),
        _option(
            "dead_letter_bytes", size, "Maximum bytes of undeliverable messages, and of details of receipts.",
            "Beyond it the oldest of the sender with most are forgotten, see docs/operations.md#dead-letters.",
        ),
        _option("max_attempts", integer(0, 1000), "Failed attempts that make a message a dead letter; 0: none do."),
        _option(
            "max_hops", integer(0, 1_000_000), "Maximum replies that follow each other; 0: unlimited.",
            "See docs/protocol.md#conversations.",
        ),
        _option("conversation_rate", integer(0, 1_000_000), "Maximum replies per minute of one; 0: unlimited."),
    ),
    "What clients get": (
        _option(
            "enable_compression", boolean, "Don't accept permessage-deflate.",
            "Whether permessage-deflate is accepted, see docs/protocol.md#compression.",
        ),
        _option(
            "anonymous_reads", boolean, "Show presence and agents to authenticated clients only.",
            "Whether unauthenticated clients may call `presence.get` and `agent.list`, which show them less.",
        ),
        _option(
            "check_inputs", boolean, "Check calls and tasks by the schemas that agents give.",
            "See docs/protocol.md#described-capabilities. It needs the extra `schemas`.",
            flag_sets=True,
        ),
        _option(
            "admin_token", token, "An admin token of your own.",
            "It has no flag, since others can read the command line. See docs/operations.md#the-admin-token.",
            secret=True,
        ),
    ),
    "Log": (
        _option(
            "log_format", one_of("text", "json"), "text, or json with one object a line.",
            "See docs/operations.md#logs.",
        ),
        _option("log_level", one_of("debug", "info", "warn", "error", "critical"), "The least important lines to log."),
    ),
}  # fmt: skip
"""All options, by what they are about; those that an operator looks at first stand first."""

OPTIONS: Final = tuple(option for group in GROUPS.values() for option in group)
