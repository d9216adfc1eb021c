"""JSON-RPC 2.0: bytes in, values out, and back. https://www.jsonrpc.org/specification

A request's params and id stay as they are: the params are decoded once, by the method's own types, and the id is echoed
byte for byte.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Raw

from cell0gw.protocol.errors import InvalidRequest, ParseError, RPCError
from cell0gw.protocol.limits import KIB, MAX_BRACKETS, MAX_DEPTH, MAX_ID_LENGTH
from cell0gw.protocol.nesting import has_more, is_shallow

VERSION: Final = "2.0"


class Request(msgspec.Struct, gc=False):
    """One call, its C{params} and C{id} as they stand in the message; C{id} is empty for a notification.

    Long params that are nearly all of a message are a view into it, since a copy would cost as much as reading them.
    """

    method: str
    params: bytes | memoryview = b""
    id: bytes = b""


class NotARequest(msgspec.Struct):
    """An entry that can't be called, and the answer it gets; C{error} None for what looks like a response. C{id} is as
    it stands, or null."""

    error: RPCError | None
    id: bytes = b"null"


class Response(msgspec.Struct, gc=False):
    """A peer's answer to a request of the gateway's; C{result} and C{error} as they stand, the one it has not empty.

    Both are empty if the peer meant to answer, and what it sent is no answer.
    """

    id: str
    result: bytes = b""
    error: bytes = b""


Entry = Request | Response | NotARequest
"""What stands in a message, or in a batch of them."""


# Told from every method by being this very object.
_MISSING: Final = "".join(("no", "thing"))


class _Envelope(msgspec.Struct, gc=False):
    jsonrpc: Literal["2.0"]
    method: str = _MISSING
    params: Raw = Raw()
    id: Raw = Raw()


class _Notification(msgspec.Struct, gc=False):
    jsonrpc: str
    method: str
    params: Any


class _Answer(msgspec.Struct, gc=False):
    jsonrpc: Literal["2.0"]
    id: str
    result: Raw = Raw()
    error: Raw = Raw()


class _Members(msgspec.Struct, gc=False):
    """Of any object; what is of no interest is read and not kept."""

    jsonrpc: Raw = Raw()
    method: Raw = Raw()
    params: Raw = Raw()
    id: Raw = Raw()
    result: Raw = Raw()
    error: Raw = Raw()


MANY: Final = 10_000
"""Commas from which on an array is not kept whole before it is known to have few entries."""

_LONG: Final = 64 * KIB
"""Bytes from which on a copy of a message costs more than a look at what is in it."""

_ABSENT: Final = Raw()

_BRACE: Final = ord("{")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_entries = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder(Raw).decode
_decode_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


def decode(payload: bytes, max_batch: int) -> Entry | list[Entry]:
    """Read one message.

    @param payload: any bytes.
    @param max_batch: maximum entries of a batch.
    @return: one request or response, or a batch of them in order.
    @raise ParseError: not UTF-8, not JSON, or nested too deep.
    @raise InvalidRequest: an empty batch, or one beyond C{max_batch}.
    """
    try:
        if not payload.isascii():
            str(payload, "utf-8")
    except UnicodeDecodeError as problem:
        raise ParseError(f"Parse error: not UTF-8 (byte {problem.start})", byte=problem.start) from None
    # So short a message, or one with so few brackets, can't nest too deep; others must be looked at.
    if len(payload) > 2 * MAX_DEPTH and has_more(payload, MAX_DEPTH):
        if payload.count(b"[") + payload.count(b"{") > MAX_BRACKETS:
            raise ParseError(f"Parse error: more than {MAX_BRACKETS} opening brackets")
        if not is_shallow(payload, MAX_DEPTH):
            raise ParseError(f"Parse error: not JSON, or nested deeper than {MAX_DEPTH}")
    if (payload and payload[0] == _BRACE) or payload.lstrip(b" \t\r\n")[:1] != b"[":
        return _decode_one(payload)
    entries = _entries(payload, max_batch)
    if not entries:
        raise InvalidRequest("Invalid Request: an empty batch")
    if len(entries) > max_batch:
        raise InvalidRequest(f"Invalid Request: more than {max_batch} entries in a batch", max_batch=max_batch)
    return [_decode_one(bytes(entry)) for entry in entries]


def _entries(payload: bytes, max_batch: int) -> list[Raw]:
    """
    @return: what stands in an array; if that is very much, one entry more than C{max_batch} of it.
    @raise ParseError: it is no JSON.
    """
    try:
        if len(payload) < MANY or payload.count(b",") < MANY:
            return _decode_entries(payload)
        first = msgspec.structs.astuple(_decoder_of_first(max_batch + 1)(payload))
    except _MALFORMED as problem:
        raise _parse_error(problem, payload) from None
    return [entry for entry in first if entry is not _ABSENT]


@cache
def _decoder_of_first(count: int) -> Any:
    """Reads an array to its end, and keeps its first C{count} entries."""
    fields = [(f"entry_{number}", Raw, _ABSENT) for number in range(count)]
    return msgspec.json.Decoder(msgspec.defstruct("First", fields, array_like=True, gc=False)).decode


_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_WHERE: Final = re.compile(r"JSON is malformed: (.*) \(byte (\d+)\)")
_HALF_A_PAIR: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def _parse_error(problem: Exception, payload: bytes) -> ParseError:
    """What is said of a message that the decoder does not take: what is wrong, and at which byte, the first being 0."""
    found = _WHERE.match(str(problem))
    byte: int | None
    if found is not None:
        what, byte = found[1], int(found[2])
        if what == "trailing characters":
            what, byte = "something follows the end of the JSON", byte - 1  # the decoder has passed the first of them
    else:
        what, byte = "the message ends too early", len(payload)
    if payload.startswith(_BYTE_ORDER_MARK):
        what = "the message begins with a byte order mark"
    elif not payload.strip(b" \t\r\n"):
        what = "the message is empty"
    elif (found is None or "surrogate" in what or "escape" in what) and _HALF_A_PAIR.search(payload) is not None:
        # The decoder may take the end of a text that cuts a pair off for the end of the message.
        what, byte = "the message ends too early, or an escape is half of a surrogate pair", None
    return ParseError(f"Parse error: {what}" + ("" if byte is None else f" (byte {byte})"), byte=byte)


def _decode_one(payload: bytes) -> Entry:
    try:
        envelope = _decode_envelope(payload)
    except msgspec.ValidationError:
        return _explain(payload)
    except _MALFORMED as problem:
        raise _parse_error(problem, payload) from None
    method, request_id = envelope.method, bytes(envelope.id)
    params = bytes(envelope.params) if len(payload) < _LONG else _of_long(envelope.params, payload)
    if method is _MISSING:
        return _response(payload) or _explain(payload)
    if (
        (not params or params[0] in _STRUCTURED)
        and len(request_id) <= MAX_ID_LENGTH
        and (not request_id or request_id[0] in _SIMPLE)
    ):
        return Request(method, params, request_id)
    return _explain(payload)


def _of_long(params: Raw, payload: bytes) -> bytes | memoryview:
    """The params of a long message. What is kept of a view keeps the message: it must have little else."""
    return memoryview(params) if len(payload) - len(params) < len(payload) // 8 else bytes(params)


def _response(payload: bytes) -> Response | None:
    """What a peer answers; None when this is no answer to a request of the gateway's, whose ids are strings."""
    try:
        answer = _decode_answer(payload)
    except msgspec.ValidationError:
        return None
    result, error = bytes(answer.result), bytes(answer.error)
    if error == b"null" and result:
        error = b""  # as version 1.0 of JSON-RPC had it
    return Response(answer.id, result, error) if result or error else None


# How params begin: as an object or an array (section 4.2). And an id: as a string, a number or null.
_STRUCTURED: Final = b"{["
_SIMPLE: Final = b'"-0123456789n'


def _explain(payload: bytes) -> Request | NotARequest:
    """Say what is wrong with what the fast decoder rejected; a duplicate member may still make it valid.

    Nothing of it is made into objects, which take many times its length.

    @raise ParseError: it is not even JSON: the typed decoder gives up at the first wrong type and reads no further.
    """
    try:
        if bytes(_decode_any(payload)).lstrip(b" \t\r\n")[:1] != b"{":
            return NotARequest(InvalidRequest("Invalid Request: not an object"))
        members = _decode_members(payload)
    except _MALFORMED as problem:
        raise _parse_error(problem, payload) from None
    method, params, raw_id = text(members.method), bytes(members.params), bytes(members.id)
    is_id = len(raw_id) <= MAX_ID_LENGTH and raw_id[:1] in _SIMPLE
    if not bytes(members.method) and (bytes(members.result) or bytes(members.error)):
        return NotARequest(None, raw_id if raw_id and is_id else b"null")  # an error would be one more stray response
    if not is_id:
        return NotARequest(
            InvalidRequest(f"Invalid Request: id is a string, a number or null, {MAX_ID_LENGTH} bytes at most")
        )
    if text(members.jsonrpc) != VERSION:
        reason = 'jsonrpc is not "2.0"'
    elif method is None:
        reason = "method is not a string"
    elif params[:1] not in _STRUCTURED:
        reason = "params is neither an object nor an array"
    else:
        return Request(method, params, raw_id)
    return NotARequest(InvalidRequest(f"Invalid Request: {reason}"), raw_id or b"null")


def text(member: Raw | bytes) -> str | None:
    """What a string says, as it stands in a message; None for anything else."""
    written = bytes(member)
    return _decode_text(written) if written[:1] == b'"' else None


def encode(value: Any) -> bytes:
    """JSON of any value the methods return."""
    return _encode(value)


def result(value: Any, request_id: bytes) -> bytes:
    """The answer to a call that succeeded (section 5)."""
    return b"".join((b'{"jsonrpc":"2.0","result":', _encode(value), b',"id":', request_id, b"}"))


def error(failure: RPCError, request_id: bytes = b"null") -> bytes:
    """The answer to a call that failed (section 5.1)."""
    return b'{"jsonrpc":"2.0","error":%b,"id":%b}' % (_encode(failure.as_json()), request_id)


def request(method: str, params: Any, request_id: str) -> bytes:
    """A message that wants an answer (section 4)."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b,"id":%b}' % (
        _encode(method),
        _encode(params),
        _encode(request_id),
    )


def notification(method: str, params: Any) -> bytes:
    """A message that wants no answer (section 4.1)."""
    return _encode(_Notification(VERSION, method, params))


def batch(answers: list[bytes]) -> bytes:
    """The answers to a batch, in one array (section 6)."""
    return b"[" + b",".join(answers) + b"]"
