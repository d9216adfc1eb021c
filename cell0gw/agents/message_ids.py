"""Where a message comes from: its id says so itself, and proves it.

C{msg_<nonce>-<proof>} begins a conversation, C{msg_<nonce>-<hops>-<root>-<proof>} goes on in that of C{msg_<root>}. The
proof is a keyed hash of all that and of the recipient: only its recipient can refer to a message, nobody can invent a
conversation or leave out hops, and the gateway need not remember a message to know where a reply to it belongs.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import msgspec

MESSAGE: Final = "msg"
_PREFIX: Final = f"{MESSAGE}_"
_PROOF_BYTES: Final = 8


class Lineage(msgspec.Struct, frozen=True):
    """Where a message stands in its conversation.

    @ivar root: names the conversation; C{hops}: how many messages lie between this one and its first.
    @ivar in_reply_to: the id of the message or call that it replies to; None: it begins the conversation.
    """

    root: str
    hops: int
    in_reply_to: str | None = None

    @property
    def conversation_id(self) -> str:
        """The conversation, as on the wire."""
        return f"conv_{self.root}"


class MessageIds:
    """Makes ids of messages, and reads them.

    @param key: 16 to 32 unpredictable bytes; ids made under another one prove nothing.
    """

    def __init__(self, key: bytes) -> None:
        self._keyed = hashlib.blake2s(key=key, digest_size=_PROOF_BYTES)

    def message_id(self, nonce: str, lineage: Lineage, recipient: str) -> str:
        """The id of a message.

        @param nonce: C{msg_...}, never used before.
        """
        text = nonce if lineage.hops == 0 else f"{nonce}-{lineage.hops}-{lineage.root}"
        return f"{text}-{self._proof(text, recipient)}"

    def read(self, message_id: str, recipient: str) -> Lineage | None:
        """Where the message stands that an id names.

        @param recipient: who was sent it, if it is true.
        @return: None: no such message was sent to them.
        """
        text, _, proof = message_id.rpartition("-")
        parts = text.split("-")
        nonce = parts[0]
        if not (nonce.startswith(_PREFIX) and message_id.isascii()):
            return None
        if not hmac.compare_digest(proof, self._proof(text, recipient)):
            return None
        if len(parts) == 1:
            return Lineage(nonce.removeprefix(_PREFIX), 0)
        return Lineage(parts[2], int(parts[1]))

    def _proof(self, text: str, recipient: str) -> str:
        keyed = self._keyed.copy()
        keyed.update(f"{text} {recipient}".encode())
        return keyed.hexdigest()


def root_of(nonce: str) -> Lineage:
    """The lineage of a message that begins a conversation."""
    return Lineage(nonce.removeprefix(_PREFIX), 0)
