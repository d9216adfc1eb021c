"""The pages of errors and close codes."""

from __future__ import annotations

import inspect
from typing import Final

from cell0gw.protocol.errors import ERRORS, CloseCode, RPCError
from cell0gw.rpc.docstrings import parts
from tests.reference.markdown import Page, flowing, joined, linked, mark, table

YES: Final = {True: "yes", False: "no"}


def errors() -> Page:
    """C{errors.md}."""
    body = joined(
        "The `error` of an answer has the number as `code`, a `message` for people, which may change, and `data`. "
        "`data.code` and the number belong together and stay as they are: programs go by them. `data.retryable` says "
        "whether the same request may succeed later as it is. [Errors](../protocol.md#errors) has an example.",
        table(["Number", "Code", "Retryable", "Meaning", "What to do"], map(_error, ERRORS)),
    )
    return Page("errors.md", "Errors", "What `error.code` means, whether to try again, what to do", body)


def _error(error: type[RPCError]) -> list[str]:
    meaning, advice = inspect.getdoc(error).split("\n\n")  # type: ignore[union-attr]
    cells = [linked(" ".join(text.split()), str(error.number)) for text in (meaning, advice)]
    return [f"{mark(error.code)}{error.number}", f"`{error.code}`", YES[error.retryable], *cells]


def close_codes() -> Page:
    """C{close-codes.md}."""
    described, _ = parts(CloseCode.__doc__ or "", ["meaning", "advice"])
    rule = described.split("\n\n")[1]
    body = joined(
        "Why a connection ended, and whether to connect again. "
        "[How it ended](../protocol.md#how-it-ended) says which sessions can be resumed.",
        flowing(rule),
        table(
            ["Code", "Connect again", "Meaning", "What to do"],
            [
                [f"{mark(str(code.value))}{code.value}", YES[code.reconnect], linked(code.meaning), linked(code.advice)]
                for code in CloseCode
            ],
        ),
    )
    return Page("close-codes.md", "Close codes", "Why a connection ended, and whether to connect again", body)
