"""Ids."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from cell0gw.process.ids import Ids


class IdsTests(SynchronousTestCase):
    """L{Ids}"""

    def test_unique(self) -> None:
        """Ids tell what they name, and don't repeat."""
        new_id = Ids(os.urandom)
        ids = {new_id("conn") for _ in range(1000)}
        self.assertEqual(len(ids), 1000)
        self.assertTrue(all(len(i) == 21 and i.startswith("conn_") for i in ids))

    def test_of_what_is_random(self) -> None:
        """Every id is made of bytes of its own."""
        new_id = Ids(lambda length: bytes(index % 251 for index in range(length)))
        self.assertEqual([new_id("a"), new_id("b")], ["a_0c0d0e0f10111213", "b_0405060708090a0b"])
