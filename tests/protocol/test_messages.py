"""Messages that go to many readers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.protocol.messages import LONG, Batch, LongMessage, shareable


class MessageTests(SynchronousTestCase):
    """Messages, short and long."""

    def test_short(self) -> None:
        """A message that is not worth compressing stays the bytes that it is."""
        message = b"x" * (LONG - 1)
        self.assertIs(shareable(message), message)

    def test_long(self) -> None:
        """From LONG bytes on a message can remember what transports made of it."""
        long = shareable(b"x" * LONG)
        assert isinstance(long, LongMessage)
        self.assertEqual((long, long.forms), (b"x" * LONG, {}))

    def test_forms_are_its_own(self) -> None:
        """No message remembers what was made of another one."""
        one, other = shareable(b"x" * LONG), shareable(b"x" * LONG)
        assert isinstance(one, LongMessage) and isinstance(other, LongMessage)
        one.forms[15] = b"form"
        self.assertEqual(other.forms, {})


class BatchTests(SynchronousTestCase):
    """Batches, before a transport has them."""

    def test_of_short_ones(self) -> None:
        """A new batch takes messages, and has them in their order."""
        batch = Batch()
        batch.append(b"1")
        batch.append(b"2")
        self.assertEqual((batch.open, batch.messages, batch.long), (True, [b"1", b"2"], None))

    def test_of_a_long_one(self) -> None:
        """A batch of a long message takes no other."""
        long = shareable(b"x" * LONG)
        assert isinstance(long, LongMessage)
        batch = Batch(long)
        self.assertEqual((batch.open, batch.messages, batch.long), (False, [long], long))
