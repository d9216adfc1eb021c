"""How connections and sessions end: whether that is for good, and what is said of it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.errors import CloseCode
from cell0gw.sessions.ending import Ending, EndingKind, closed


class EndingTests(SynchronousTestCase):
    """Endings."""

    def test_closed_by_the_client(self) -> None:
        """A client says goodbye without a code or with 1000; with any other code its session waits for it."""
        for code, kind, text in (
            (1000, EndingKind.GOODBYE, "1000"),
            (None, EndingKind.GOODBYE, "1005"),
            (1001, EndingKind.CLOSED, "1001"),
            (4507, EndingKind.CLOSED, "4507"),
        ):
            ending = closed(code, by_gateway=False)
            self.assertEqual((ending.kind, str(ending)), (kind, text))
            self.assertEqual(ending.is_final, kind is EndingKind.GOODBYE, text)

    def test_closed_by_the_gateway(self) -> None:
        """The gateway ends the session as well with the codes that say not to come back, and with no others."""
        for code in CloseCode:
            ending = closed(code, by_gateway=True)
            self.assertEqual((str(ending), ending.is_final), (str(code.value), code >= 4500))
            self.assertIsNot(ending.kind, EndingKind.GOODBYE)

    def test_reason(self) -> None:
        """Why it ended is what the gateway said when it closed, or what it was."""
        self.assertEqual(closed(4002, True, "heartbeat timeout").reason, "heartbeat timeout")
        self.assertEqual(closed(1000, False).reason, "goodbye")
        self.assertEqual(Ending(EndingKind.LOST).reason, "lost")

    def test_without_a_close(self) -> None:
        """What ends otherwise is named by its kind, and a connection that breaks leaves its session behind."""
        self.assertEqual(str(Ending(EndingKind.TOKEN_EXPIRED)), "token expired")
        for kind in (EndingKind.LOST, EndingKind.ABORTED):
            self.assertFalse(Ending(kind).is_final)
