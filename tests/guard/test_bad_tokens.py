"""Wrong tokens."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.guard import bad_tokens
from cell0gw.guard.bad_tokens import BadTokens
from cell0gw.protocol.errors import RateLimited
from cell0gw.protocol.limits import ALL_BAD_TOKENS_A_MINUTE, BAD_TOKENS_A_MINUTE
from cell0gw.testing import MemoryGateway

WRONG = "cell0_" + "x" * 43 + "_1"


class GuessesTests(SynchronousTestCase):
    """Counted by address and in all."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.hits: list[tuple[str, str]] = []
        self.bad_tokens = BadTokens(self.clock.seconds, lambda limit, by: self.hits.append((limit, by)))

    def guess(self, address: str, times: int = 1) -> int:
        """How many of some wrong tokens are told apart from those that are too many."""
        told = 0
        for _ in range(times):
            try:
                self.bad_tokens.wrong(address)
                told += 1
            except RateLimited as refusal:
                self.assertGreater(refusal.data["retry_after_ms"], 0)
        return told

    def test_by_address(self) -> None:
        """So many a minute from one address, and others are not touched by it."""
        self.assertEqual(self.guess("a", 100), BAD_TOKENS_A_MINUTE)
        self.assertEqual(self.guess("b", 5), 5)
        self.clock.advance(60)
        self.assertEqual(self.guess("a", 100), BAD_TOKENS_A_MINUTE)
        self.assertEqual(self.hits[0], ("wrong tokens from an address", "a"))

    def test_in_all(self) -> None:
        """However many addresses they come from, there are only so many in all."""
        told = sum(self.guess(f"address {number}", 5) for number in range(1000))
        self.assertEqual(told, ALL_BAD_TOKENS_A_MINUTE)

    def test_bounded(self) -> None:
        """Only so many addresses are remembered, those that were heard of last."""
        self.patch(bad_tokens, "MAX_ADDRESSES", 3)
        for name in ("a", "b", "c", "a", "d"):
            self.guess(name)
        self.assertEqual(list(self.bad_tokens._by_address), ["c", "a", "d"])


class GatewayTests(SynchronousTestCase):
    """On the wire."""

    def setUp(self) -> None:
        self.gateway = MemoryGateway()
        self.addCleanup(self.gateway.close)

    def test_too_many(self) -> None:
        """Wrong tokens beyond the limit are -32003, on whichever connection; valid ones are taken all the time."""
        numbers = []
        for _ in range(4):
            client = self.gateway.connect()
            numbers += [client.refusal("auth.authenticate", token=WRONG)["code"] for _ in range(4)]
        self.assertEqual(numbers, [-32001] * BAD_TOKENS_A_MINUTE + [-32003] * (16 - BAD_TOKENS_A_MINUTE))
        self.assertTrue(client.call("auth.authenticate", token=self.gateway.token("a"))["success"])
        self.assertEqual(client.call("rpc.ping"), "pong")

    def test_open_sessions(self) -> None:
        """A session that is open goes on, and may take another token, while its address is over the limit."""
        agent = self.gateway.connect("a")
        for _ in range(4):
            guesser = self.gateway.connect()
            for _ in range(4):
                guesser.refusal("auth.authenticate", token=WRONG)
        self.assertEqual(agent.call("rpc.ping"), "pong")
        self.assertTrue(agent.call("auth.refresh", token=self.gateway.token("a"))["success"])
