"""Autobahn's cases, as C{kosoku} runs them, and what counts as passed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import kosoku
from kosoku import _caseindex

GOOD: Final = {"OK", "INFORMATIONAL"}
"""The runner itself is content with NON-STRICT, too."""

CASES_AT_ONCE: Final = 2

BASE: Final = {f"{group}.*": count for group, count in zip((1, 2, 3, 4, 5, 6, 7, 9, 10),
                                                         (16, 11, 7, 10, 20, 145, 37, 54, 1), strict=True)}  # fmt: skip
"""Frames, pings, reserved bits, opcodes, fragments, UTF-8, closes, limits, and one more; how many there are of each."""

COMPRESSION: Final = {"12.*": 90, "13.*": 126}
"""A thousand messages each, which compress well or not, in eight negotiations."""

SOME_COMPRESSION: Final = {f"{group}.{part}.{number}": 1 for group, parts in ((12, 5), (13, 7))
                           for part in range(1, parts + 1) for number in range(1, 5)}  # fmt: skip
"""Those with messages of 16 to 1024 bytes."""


async def run(port: int, patterns: Iterable[str]) -> list[Any]:
    """Run cases against a service on 127.0.0.1.

    @param patterns: the names of cases, C{*} for any rest.
    @return: what came of each, L{kosoku.CaseResult}s.
    """
    _take_uncompressed_answers()
    try:
        return await kosoku.run_fuzzingclient(f"127.0.0.1:{port}", list(patterns), None, concurrency=CASES_AT_ONCE)
    except kosoku.FailureError as failure:
        return failure.results


def complaints(results: Iterable[Any]) -> list[str]:
    """Every case that did not end as it should, a line each."""
    return [
        f"{case.case_id}: {case.behavior.value}, close {case.behavior_close.value}; {case.result} {case.result_close}"
        for case in results
        if not {case.behavior.value, case.behavior_close.value} <= GOOD
    ]


def _take_uncompressed_answers() -> None:
    """The runner gives cases 12 and 13 the bytes they expect if the message came compressed, else a string. A peer need
    not compress what would become longer (RFC 7692, section 6), so here those strings become bytes, too.
    """
    _caseindex.initialize_shims()
    import case12_x_x  # type: ignore[import-not-found]  # on the path since the line above

    def on_message(case: Any, message: bytes | str, binary: bool, judge: Any = case12_x_x.onMessage) -> None:
        if isinstance(message, str):
            message = message.encode("latin-1" if binary else "utf-8")
        judge(case, message, binary)

    for case in case12_x_x.Case12_X_X + case12_x_x.Case13_X_X:
        case.onMessage = on_message
