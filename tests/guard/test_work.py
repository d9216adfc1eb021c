"""How much work messages can have been."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard.throttle import SECONDS_A_CALL, SLOW
from cell0gw.guard.work import FRESH, Work
from cell0gw.testing import MemoryGateway


class WorkTests(SynchronousTestCase):
    """L{Work}."""

    def test_bound(self) -> None:
        """A message took no longer than the process has worked since the one before, or since the last look."""
        processor = Clock()
        work = Work(processor.seconds)
        processor.advance(0.25)
        self.assertEqual([work.bound(1.0), work.bound(1.0)], [0.25, 0.0])
        processor.advance(0.5)
        self.assertEqual(work.bound(0.125), 0.125)
        processor.advance(0.5)
        work.look(3.0)
        self.assertEqual((work.bound(1.0), work.stale_at), (0.0, 3.0 + FRESH))


class StandstillTests(SynchronousTestCase):
    """A process that waits for a processor in the middle of a message."""

    def stood_still(self, worked: float) -> float:
        """What a session has of its credit after a call that took a second.

        @param worked: for how much of that the process had a processor.
        """
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client, processor = gateway.connect("a"), Clock()
        gateway.factory.work = Work(processor.seconds)
        dispatch = gateway.factory.dispatch

        def late(caller: object, payload: bytes) -> object:
            answer = dispatch(caller, payload)  # type: ignore[arg-type]
            gateway.clock.advance(1.0)
            processor.advance(worked)
            return answer

        gateway.factory.dispatch = late  # type: ignore[assignment]
        client.call("rpc.ping")  # its credit comes with the first call
        before = client.server.caller.credit
        client.call("rpc.ping")
        return before - client.server.caller.credit

    def test_charged(self) -> None:
        """It charges nobody for that, and everybody for their work."""
        self.assertEqual(self.stood_still(0.0), 1)
        self.assertEqual(self.stood_still(SLOW + 20.5 * SECONDS_A_CALL), 21)

    def test_work_before(self) -> None:
        """Nor is anybody charged for what was worked before their message came, however much that was."""
        gateway = MemoryGateway()
        self.addCleanup(gateway.close)
        client, processor = gateway.connect("a"), Clock()
        gateway.factory.work = Work(processor.seconds)
        dispatch = gateway.factory.dispatch
        client.call("rpc.ping")
        before = client.server.caller.credit
        gateway.clock.advance(FRESH)
        processor.advance(0.5)  # for others

        def late(caller: object, payload: bytes) -> object:
            gateway.clock.advance(1.0)
            return dispatch(caller, payload)  # type: ignore[arg-type]

        gateway.factory.dispatch = late  # type: ignore[assignment]
        client.call("rpc.ping")
        self.assertEqual(before - client.server.caller.credit, 1)
