"""The rules that an operator sets for channels, by pattern."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from cell0gw.protocol.subjects import covers, is_own


class ChannelRule(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the channels that a pattern covers.

    The items below are public text in Markdown.

    - `pattern`: the channels that the rule is for, as in `tasks.>`, see docs/protocol.md#names
    - `history_size`: maximum messages retained; 0: none
    - `history_ttl`: how long they are retained
    - `durable`: whether messages are on disk before they are acknowledged, and survive the process. A channel that is
      there stays as it is until the gateway is started again
    - `max_message_size`: longest message; a longer one is -32005. The option of that name holds besides
    - `presence`: whether `$channels` tells of `channel.created`, `channel.joined`, `channel.left` and `channel.removed`
    """

    pattern: str = ">"
    history_size: int = 100
    history_ttl: float = 600.0
    durable: bool = False
    max_message_size: int | None = None
    presence: bool = True


class ChannelOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says of channels.

    @ivar channels: the rules, in their order.
    @ivar history_bytes: maximum bytes that one channel holds in memory; C{total_history_bytes}: all together.
    @ivar heartbeat_timeout: seconds for which a connection may be broken without anyone knowing.
    @ivar idempotency_window: seconds for which an idempotency key stands for its call.
    """

    channels: tuple[ChannelRule, ...]
    history_bytes: int
    total_history_bytes: int
    heartbeat_timeout: float
    idempotency_window: float


DEFAULT: Final = ChannelRule()
DURABLE: Final = ChannelRule(history_size=10_000, history_ttl=7 * 86400.0, durable=True)
"""The default of durable channels."""

_OWN: Final = ChannelRule(pattern="$", history_size=0, history_ttl=0.0, presence=False)


class ChannelRules:
    """The rules in their order: of those that cover a channel the first one holds."""

    def __init__(self, rules: Iterable[ChannelRule] = ()) -> None:
        self.change(rules)

    def change(self, rules: Iterable[ChannelRule]) -> None:
        """From now on others hold."""
        self._rules = tuple(rules)

    def of(self, channel: str) -> ChannelRule:
        """The rule of a channel; the gateway's own keep nothing."""
        if is_own(channel):
            return _OWN
        return next((rule for rule in self._rules if covers(rule.pattern, channel)), DEFAULT)
