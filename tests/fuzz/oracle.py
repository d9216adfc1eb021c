"""What JSON-RPC 2.0 demands as an answer to a message, told by Python's own JSON reader."""

from __future__ import annotations

import json
from typing import Any, Final, NoReturn

from cell0gw.protocol.limits import MAX_DEPTH, MAX_ID_LENGTH
from tests.fuzz.findings import check

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
DIGITS: Final = 4000
"""Python reads no longer integers."""

_NONE: Final = object()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < DIGITS else float("inf")


def read(message: bytes, made_of: Any = dict) -> Any:
    """The value of some JSON.

    @param made_of: makes an object of its members.
    @raise ValueError: it is none.
    """
    return json.loads(message.decode(), parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=made_of)


def judge(message: bytes, answer: bytes | None, max_batch: int) -> None:
    """Hold an answer to what the message asks for.

    @raise Finding: it is no answer to it.
    """
    try:
        asked = read(message)
    except (ValueError, RecursionError):
        asked = _NONE
    told = _NONE if answer is None else read(answer)
    if _is_error(told, PARSE_ERROR) and told["id"] is None:
        check(asked is _NONE or _beyond(message), "JSON was taken for none", message, answer)
    elif asked is _NONE:
        check(False, "what is no JSON was taken up", message, answer)
    elif not isinstance(asked, list):
        _judge_one(asked, told, message)
    elif not asked or len(asked) > max_batch:
        check(_is_error(told, INVALID_REQUEST) and told["id"] is None, "a batch that is none", message, answer)
    else:
        _judge_batch(asked, told, message)


def _judge_batch(asked: list[Any], told: Any, message: bytes) -> None:
    wanting = [entry for entry in asked if wants_answer(entry)]
    if not wanting:
        check(told is _NONE, "nothing was asked", message, told)
        return
    check(isinstance(told, list) and len(told) == len(wanting), "not an answer for each", message, told)
    for entry, each in zip(wanting, told, strict=True):
        _judge_one(entry, each, message)


def _judge_one(asked: Any, told: Any, message: bytes) -> None:
    if not wants_answer(asked):
        check(told is _NONE, "nothing was asked", message, told)
        return
    check(isinstance(told, dict) and told.get("jsonrpc") == "2.0", "no answer", message, told)
    check(("result" in told) != ("error" in told), "neither result nor error, or both", message, told)
    check(not _is_error(told, INTERNAL_ERROR), "an internal error", message, told)
    if _is_request(asked):
        if _is_error(told, INVALID_REQUEST):
            long = len(message) > MAX_ID_LENGTH and "id is" in told["error"]["message"] and told["id"] is None
            check(long, "a request was taken for none", message, told)
        else:
            check(repr(told["id"]) == repr(asked["id"]), "the id of another", message, told)
    else:
        check(_is_error(told, INVALID_REQUEST), "no request, and not refused as such", message, told)


def wants_answer(asked: Any) -> bool:
    """Whether there must be one: to every request, and to whatever is neither that nor a notification or a response."""
    if not isinstance(asked, dict):
        return True
    if "method" not in asked and ("result" in asked or "error" in asked):
        return False
    return not (_is_request(asked) and "id" not in asked)


def _is_request(asked: Any) -> bool:
    identity = asked.get("id") if isinstance(asked, dict) else None
    return (
        isinstance(asked, dict)
        and asked.get("jsonrpc") == "2.0"
        and isinstance(asked.get("method"), str)
        and isinstance(asked.get("params", {}), dict | list)
        and (identity is None or (isinstance(identity, str | int | float) and not isinstance(identity, bool)))
    )


def _is_error(told: Any, code: int) -> bool:
    return isinstance(told, dict) and isinstance(told.get("error"), dict) and told["error"]["code"] == code


def _beyond(message: bytes) -> bool:
    """Whether something is in it that the gateway may refuse: much depth, half a surrogate pair, a huge number."""
    whole = read(message, _keep_all)
    written = json.dumps(whole, ensure_ascii=False)
    return any("\ud800" <= letter <= "\udfff" for letter in written) or _depth(whole) > MAX_DEPTH or _huge(whole)


def _keep_all(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object that has also those members that another one of the same name hides."""
    return {f"{number}{name}": value for number, (name, value) in enumerate(pairs)}


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _huge(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_huge, value.values()))
    if isinstance(value, list):
        return any(map(_huge, value))
    return isinstance(value, float) and value in (float("inf"), float("-inf"))
