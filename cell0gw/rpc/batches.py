"""Batches: the answers to several requests in one message, each with its id, however long they are together."""

from __future__ import annotations

from typing import Final

from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import InvalidRequest, TooLarge
from cell0gw.protocol.jsonrpc import Entry, Response

ERROR_SIZE: Final = 300
"""Maximum bytes of the error that stands in the place of an answer for which there is no room."""


def check_room(entries: list[Entry], most: int) -> None:
    """Whether each entry of a batch can have an answer, if it be an error; asked before any of them is begun.

    @param most: maximum bytes of all answers together.
    @raise InvalidRequest: they can't.
    """
    if len(entries) * ERROR_SIZE > most and 1 + sum(len(_unfit(each, most)) + 1 for each in entries if each.id) > most:
        raise InvalidRequest(f"Invalid Request: a batch of {len(entries)} has no room for the answers in {most} bytes")


def join(entries: list[Entry], answers: list[bytes | None], most: int) -> tuple[bytes | None, int]:
    """The answers to a batch, in order, as many as fit together; in the place of each other one is an error.

    @param answers: those to the first entries, which may be all; None: there is none.
    @param most: maximum bytes of all together.
    @return: the message, None if there is no answer; and how many have no room.
    """
    written = [answer for answer in answers if answer is not None]
    if not written:
        return None, 0
    if sum(map(len, written)) + len(written) + 1 <= most:
        return jsonrpc.batch(written), 0
    pairs = [
        (answer, _unfit(entry, most)) for entry, answer in zip(entries, answers, strict=False) if answer is not None
    ]
    room = most - 1 - sum(min(len(answer), len(error)) + 1 for answer, error in pairs)
    written.clear()
    unfit = 0
    for answer, error in pairs:
        more = max(0, len(answer) - len(error))
        if more <= room:
            room -= more
            written.append(answer)
        else:
            unfit += 1
            written.append(error)
    return jsonrpc.batch(written), unfit


def _unfit(entry: Entry, most: int) -> bytes:
    """What stands in the place of an answer for which there is no room."""
    if isinstance(entry, Response):
        return b""  # none is answered
    return jsonrpc.error(TooLarge(f"The answers to the batch are larger than {most} bytes"), entry.id)
