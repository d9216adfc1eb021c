"""The tables of error codes and close codes."""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import ERRORS, CloseCode, RateLimited, RPCError
from tests.documents import DocumentTestCase, differing, missing

# The contract: clients of earlier releases know these numbers and names.
NUMBERS = {
    "parse_error": -32700, "invalid_request": -32600, "method_not_found": -32601, "invalid_params": -32602,
    "internal_error": -32603, "unavailable": -32000, "not_authenticated": -32001, "permission_denied": -32002,
    "rate_limited": -32003, "timeout": -32004, "too_large": -32005, "not_found": -32006, "conflict": -32007,
    "fenced": -32007,    "agent_failed": -32008, "cancelled": -32009, "loop": -32010,
}  # fmt: skip


class ErrorTests(DocumentTestCase):
    """Errors."""

    def test_numbers(self) -> None:
        """Each error has the number and the name of the contract."""
        numbers = {error.code: error.number for error in ERRORS}
        where = "tests/protocol/test_errors.py, NUMBERS"
        add, remove = "no member `{}`; add the error with its number", "`{}`: an error that clients know is gone"
        self.assertNothing(
            missing(where, numbers, NUMBERS, add, remove) + differing(where, numbers, NUMBERS, "the number of `{}`")
        )

    def test_table_is_whole(self) -> None:
        """No error exists that is not in the table."""
        self.assertNothing(
            missing(
                "cell0gw/protocol/errors.py, ERRORS",
                {error.__name__ for error in RPCError.__subclasses__()},
                [error.__name__ for error in ERRORS],
                "no member {}; add the class",
                "{} is no subclass of RPCError; remove it",
            )
        )

    def test_data(self) -> None:
        """What an error adds stands beside its code."""
        self.assertEqual(
            RateLimited(retry_after_ms=250).as_json(),
            {
                "code": -32003,
                "message": "Rate limited",
                "data": {"code": "rate_limited", "retryable": True, "retry_after_ms": 250},
            },
        )


class CloseCodeTests(SynchronousTestCase):
    """Close codes."""

    def test_reconnect(self) -> None:
        """The range of a code says whether to connect again."""
        self.assertEqual(
            {code.value for code in CloseCode if 4000 <= code < 4500}, {4001, 4002, 4008, 4010, 4013, 4014}
        )
        self.assertEqual({code.value for code in CloseCode if code >= 4500}, {4500, 4502, 4504, 4507, 4509})
        self.assertEqual(
            [code.value for code in CloseCode if code.reconnect], [1011, 4001, 4002, 4008, 4010, 4013, 4014]
        )

    def test_explained(self) -> None:
        """Each error and each close code says what it means and what to do about it."""
        for error in ERRORS:
            meaning, advice = (inspect.getdoc(error) or "").split("\n\n")
            self.assertTrue(meaning.endswith(".") and advice.endswith("."), error)
        for code in CloseCode:
            self.assertTrue(code.meaning and code.advice, code)
            self.assertFalse((code.meaning + code.advice).endswith("."), code)
