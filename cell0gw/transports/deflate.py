"""Compression: permessage-deflate without context, so that it is shared. RFC 7692

Without context each message is compressed by itself: a connection keeps no compressor while it is silent, and a
publication is compressed once for all who negotiated the same window. Some clients keep theirs all the same, against
what the response to their handshake says; what they refer to is kept for these, and for no others.
"""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from autobahn.exception import PayloadCorruptError, PayloadExceededError
from autobahn.websocket.compress import PerMessageDeflate, PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from cell0gw.protocol.messages import Batch, LongMessage
from cell0gw.transports.frames import header

LEVEL: Final = 1
MEMORY: Final = 6
"""zlib's settings: a kilobyte of agents' JSON shrinks as far as with more of either, in 12 us instead of 30 to 100."""

_FINAL_COMPRESSED_TEXT: Final = 0xC1
_TAIL: Final = b"\x00\x00\xff\xff"
"""The end of each message's data, which is not sent (section 7.2.1)."""


WINDOW: Final = 32 * 1024
"""Bytes that a client which keeps its context may refer to: the longest window of DEFLATE. RFC 1951, section 2"""

PIECE: Final = 512 * 1024
"""Maximum bytes that are inflated in one go, which takes some 2 ms."""

TRIAL: Final = 4
"""Compressed messages after which it is known whether a client keeps its context: those of JSON-RPC have so much in
common that the second one refers to the first, if it does.
"""


class DeflateAccept(PerMessageDeflateOfferAccept):
    """Tells the client that neither side keeps a context, whether it asked or not (section 7.1.1)."""

    def get_extension_string(self) -> str:
        """The extension as in the response."""
        return "; ".join(
            [self.EXTENSION_NAME, "server_no_context_takeover", "client_no_context_takeover"]
            + ([f"server_max_window_bits={bits}"] if (bits := self.offer.request_max_window_bits) else [])
        )


def accept_deflate(offers: list[Any]) -> DeflateAccept | None:
    """Accept the first offer of permessage-deflate that zlib can fulfil: it has no windows of 256 bytes."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits != 8:
            return DeflateAccept(
                offer, request_no_context_takeover=True, request_max_window_bits=0, no_context_takeover=True
            )
    return None


class Deflate(PerMessageDeflate):
    """The extension on a connection whose client may keep its context. It inflates a message when that is whole.

    A message of such a client that refers to what was before it can't be inflated by itself, and is inflated with that
    at hand. One that does not is inflated to the same, either way. When the first ones have shown that the client keeps
    no context, nothing is kept of it.
    """

    # What the messages so far were, at most a window of it.
    _history = b""
    _messages = 0
    _keeps_context = False

    def start_decompress_message(self) -> None:
        """See L{PerMessageDeflate}. Nothing: Autobahn's own would inflate what may never be a message."""

    def inflating(self, data: bytes, limit: int, text: bool) -> Inflating:
        """A message that is to be inflated.

        @param data: all of it.
        @param limit: the maximum length of what it inflates to.
        @param text: whether that must be UTF-8.
        """
        return Inflating(data, limit, text, -self.client_max_window_bits, self._history, self._keeps_context)

    def inflated(self, message: bytes, by_history: bool) -> None:
        """Called with each message that has been inflated.

        @param by_history: whether it took what was before it.
        """
        self._keeps_context = self._keeps_context or by_history
        if self._keeps_context or self._messages < TRIAL:
            self._note(message)

    def _note(self, message: bytes) -> None:
        self._messages += 1
        if self._messages >= TRIAL and not self._keeps_context:
            self._history = b""
        else:
            self._history = (self._history + message[-WINDOW:])[-WINDOW:]


class NotUTF8(Exception):
    """A message of text is none; the argument is the index of the byte that is wrong."""


class Inflating:
    """A message that is inflated piece by piece: ten megabytes of it take as long as ten thousand calls.

    @param bits: zlib's C{wbits}.
    @param history: what it may refer to.
    @param by_history: whether it is known to do so; if not, that is tried when it can't be inflated by itself.
    @ivar size: bytes that are kept of it.
    @ivar by_history: whether it took the history.
    """

    __slots__ = (
        "_bits",
        "_data",
        "_decoder",
        "_history",
        "_inflate",
        "_left",
        "_limit",
        "_pieces",
        "by_history",
        "size",
    )

    def __init__(self, data: bytes, limit: int, text: bool, bits: int, history: bytes, by_history: bool) -> None:
        self._data = data
        self._limit = limit
        self._bits = bits
        self._history = history
        self._decoder = codecs.getincrementaldecoder("utf-8")() if text else None
        self._begin(by_history)

    def _begin(self, by_history: bool) -> None:
        self.by_history = by_history
        self._inflate = (
            zlib.decompressobj(self._bits, zdict=self._history) if by_history else zlib.decompressobj(self._bits)
        )
        self._left = self._data
        self._pieces: list[bytes] = []
        self.size = len(self._data)
        if self._decoder is not None:
            self._decoder.reset()

    def step(self) -> bytes | None:
        """Inflate one more piece.

        @return: the whole message; None: there is more of it.
        @raise PayloadExceededError: it is longer than it may be.
        @raise PayloadCorruptError: it is no DEFLATE, or refers to what is not known.
        @raise NotUTF8: its text is wrong.
        """
        try:
            # One byte beyond the limit shows whether there is any.
            room = self._limit + 1 - (self.size - len(self._data))
            piece = self._inflate.decompress(self._left, min(PIECE, room))
            self._left = self._inflate.unconsumed_tail
            ended = len(piece) < min(PIECE, room) and not self._left
            if ended:  # the output is whole: what this brings would be the end of a block that was cut off
                self._inflate.decompress(_TAIL, room)
        except zlib.error as problem:
            if self.by_history or not self._history:
                raise PayloadCorruptError(str(problem)) from None
            self._begin(by_history=True)
            return self.step()
        if len(piece) >= room:
            raise PayloadExceededError
        self._check(piece, ended)
        if ended and not self._pieces:
            return piece
        self._pieces.append(piece)
        self.size += len(piece)
        if not ended:
            return None
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def _check(self, piece: bytes, ended: bool) -> None:
        decoder = self._decoder
        if decoder is None:
            return
        begun = decoder.getstate()[0]  # the first bytes of a character that the piece before has cut
        if begun or not piece.isascii():
            try:
                decoder.decode(piece, ended)
            except UnicodeDecodeError as problem:
                raise NotUTF8(self.size - len(self._data) - len(begun) + problem.start) from None


def sharing_deflated(
    share: Callable[[Batch], bool], write: Callable[[bytes], None], extension: Any
) -> Callable[[Batch], bool]:
    """The C{share} of a connection that negotiated compression.

    @param share: that of its transport.
    @param write: that of its transport.
    @param extension: what was negotiated, an L{autobahn.websocket.compress.PerMessageDeflate}.
    """
    return partial(_share_deflated, share, write, extension.server_max_window_bits)


def deflated(message: bytes, window_bits: int) -> bytes:
    """The frame of a message, compressed; empty if that is no shorter.

    @param window_bits: 9 to 15, the window that was negotiated.
    """
    forms = message.forms if isinstance(message, LongMessage) else {}
    form = forms.get(window_bits)
    if form is None and forms and isinstance(message, LongMessage) and message.kept:
        (bits,) = forms
        return forms[bits] if bits < window_bits else b""
    if form is None:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -window_bits, MEMORY)
        data = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        data = data.removesuffix(_TAIL)
        form = b"" if len(data) >= len(message) else header(_FINAL_COMPRESSED_TEXT, len(data)) + data
        forms[window_bits] = form
    return form


def _share_deflated(
    share: Callable[[Batch], bool], write: Callable[[bytes], None], window_bits: int, batch: Batch
) -> bool:
    form = deflated(batch.long, window_bits) if batch.long is not None else b""
    if not form:
        return share(batch)
    write(form)
    return True
