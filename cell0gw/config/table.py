"""The table of options, in groups: what each is called, how its value is read, and what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cell0gw.config.parsers import (
    boolean,
    duration,
    host,
    integer,
    list_of,
    message_size,
    one_of,
    origin,
    path,
    positive_duration,
    proxy,
    size,
    text,
    texts,
    token,
)


class Option(NamedTuple):
    """One option: how its value is read, what it is for, and its environment variable."""

    name: str
    parse: Callable[[Any], Any]
    help: str
    variable: str
    secret: bool = False

    @property
    def switch(self) -> bool:
        """Whether it is on or off; its flag turns it off."""
        return self.parse is boolean

    @property
    def flag(self) -> str:
        """As on the command line, without the two dashes."""
        name = self.name.replace("_", "-")
        return f"no-{name.removeprefix('enable-')}" if self.switch else name


def _option(name: str, parse: Callable[[Any], Any], help: str, variable: str | None = None, **more: Any) -> Option:
    return Option(name, parse, help, variable or f"CELL0_GATEWAY_{name.upper()}", **more)


_COUNT: Final = integer(0, 10_000_000)

GROUPS: Final[dict[str, tuple[Option, ...]]] = {
    "The five that matter": (
        _option("host", text, "Address to listen on."),
        _option("port", integer(0, 65535), "Port to listen on; 0 lets the system choose."),
        _option("state_dir", path, "Folder for tokens, durable channels and mail."),
        _option("tls_cert", path, "PEM file with the certificate for TLS, and its chain."),
        _option("tls_key", path, "PEM file with the key of the certificate."),
    ),
    "Listening, and who may connect": (
        _option("listen", texts, "Endpoints to listen on instead of host and port, separated by spaces."),
        _option("trusted_proxies", list_of(proxy), "Proxies whose X-Forwarded-For is believed, separated by commas."),
        _option("allowed_origins", list_of(origin), "Origins whose pages may connect, separated by commas."),
        _option("allowed_hosts", list_of(host), "Names by which clients may call the gateway, separated by commas."),
    ),
    "Times": (
        _option("heartbeat_interval", positive_duration, "Between two heartbeats.", "CELL0_HEARTBEAT_INTERVAL"),
        _option(
            "heartbeat_timeout", positive_duration, "Until a silent connection is closed.", "CELL0_HEARTBEAT_TIMEOUT"
        ),
        _option("auth_timeout", duration, "Until a connection must have authenticated; 0: unlimited."),
        _option("drain_timeout", positive_duration, "Until connections are cut off after SIGTERM."),
    ),
    "Connections": (
        _option("max_connections", integer(1, 10_000_000), "Maximum connections."),
        _option("max_connections_per_address", _COUNT, "Maximum connections from one address; 0: unlimited."),
        _option("max_unauthenticated", _COUNT, "Maximum connections that have not authenticated; 0: unlimited."),
        _option("max_unauthenticated_per_address", _COUNT, "The same for those from one address; 0: unlimited."),
    ),
    "Limits of clients": (
        _option("max_message_size", message_size, "Maximum size of a message."),
        _option("max_batch", integer(1, 10_000), "Maximum requests in a batch."),
        _option("max_subscriptions", integer(1, 1_000_000), "Maximum subscriptions of a session."),
        _option("max_in_flight", integer(1, 1_000_000), "Maximum requests that wait for the disk."),
        _option("calls_per_second", _COUNT, "Maximum calls per second; 0: unlimited."),
        _option("calls_burst", integer(1, 10_000_000), "Maximum calls at once."),
        _option("entity_calls_per_second", _COUNT, "Maximum calls per second of an entity; 0: unlimited."),
        _option("entity_calls_burst", integer(1, 10_000_000), "Maximum calls at once of an entity."),
        _option("max_errors", integer(0, 1_000_000), "Maximum wrong requests in 10 s; 0: unlimited."),
        _option("outbound_limit", message_size, "Maximum bytes that wait to be read by the client."),
        _option("total_outbound_limit", size, "Maximum bytes that wait for all clients together; 0: unlimited."),
    ),
    "What is kept": (
        _option("resume_window", duration, "How long a session is kept whose connection broke; 0: not at all."),
        _option("idempotency_window", positive_duration, "How long an idempotency key is remembered."),
        _option("history_bytes", size, "Maximum bytes of its history that a channel holds in memory."),
        _option("total_history_bytes", size, "Maximum bytes of history that all channels hold in memory."),
        _option("max_database_size", size, "Size beyond which durable channels lose their oldest messages."),
    ),
    "Mail and conversations": (
        _option("mail_ttl", positive_duration, "How long a message waits, unless its sender says otherwise."),
        _option("mailbox_messages", integer(1, 1_000_000), "Maximum messages that wait for one recipient."),
        _option("mailbox_bytes", size, "Maximum bytes of messages that wait for one recipient."),
        _option("sender_messages", integer(1, 10_000_000), "Maximum messages of one sender that wait."),
        _option("total_mailbox_bytes", size, "Maximum bytes of messages that wait in all."),
        _option("max_hops", integer(0, 1_000_000), "Maximum replies that follow each other; 0: unlimited."),
        _option("conversation_rate", integer(0, 1_000_000), "Maximum replies per minute of one; 0: unlimited."),
    ),
    "What clients get": (
        _option("enable_compression", boolean, "Don't accept permessage-deflate."),
        _option("anonymous_reads", boolean, "Show presence and agents to authenticated clients only."),
        _option("admin_token", token, "An admin token of your own.", secret=True),
    ),
    "Log": (
        _option("log_format", one_of("text", "json"), "text, or json with one object a line."),
        _option("log_level", one_of("debug", "info", "warn", "error", "critical"), "The least important lines to log."),
    ),
}
"""All options, by what they are about; those that an operator looks at first stand first."""

OPTIONS: Final = tuple(option for group in GROUPS.values() for option in group)
