"""What the long run on slow lines says of what went well, and of what did not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.slow.cases import Case, failures, perform, table


def never() -> float:
    """It does not arrive."""
    raise AssertionError("it was not closed within 65 s")


class TableTests(SynchronousTestCase):
    """The table."""

    def test_what_failed(self) -> None:
        """A case that fails is marked in its row, and told of below; one that was not run has no mark."""
        cases = [
            Case("plain", "live", 3.0, 20.0, lambda: 2.5),
            Case("plain", "mail", 3.0, 20.0, never),
            Case("plain", "mail", 3.0, 0.5, lambda: 97.6),
        ]
        outcomes = {case: perform(case) for case in cases}
        head, live, mail, failed = table(outcomes).splitlines()
        self.assertEqual(head.split(), ["way", "size", "20", "Mbit/s", "0.5", "Mbit/s"])
        self.assertEqual(live.split(), ["plain", "live", "3.0", "MB", "2.5", "s", "ok"])
        self.assertEqual(mail.split(), ["plain", "mail", "3.0", "MB", "0.0", "s", "FAILED", "97.6", "s", "ok"])
        self.assertEqual(failed, "plain, mail, 3 MB, 20 Mbit/s: AssertionError: it was not closed within 65 s")
        self.assertEqual(failures(outcomes), [failed])
