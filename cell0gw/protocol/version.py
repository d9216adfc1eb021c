"""What the gateway calls itself on the wire."""

from __future__ import annotations

from typing import Final

from cell0gw import __version__

NAME: Final = "Cell 0 OS Gateway"
SERVER_VERSION: Final = f"cell0-{__version__}"
PROTOCOL_VERSION: Final = 1
CAPABILITIES: Final = (
    "jsonrpc_2.0", "event_streaming", "presence", "channels", "filters", "history", "recovery", "mail", "agent_calls",
    "idempotency", "token_renewal", "positions", "tasks", "invites",
)  # fmt: skip
"""What clients can count on, for those that work with several releases; only ever add one at the end."""
