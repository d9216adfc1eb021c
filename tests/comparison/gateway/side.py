"""The gateway's side of the stories."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from cell0gw import __version__
from cell0gw.testing import MemoryGateway
from tests.comparison.facts import CAME, LEARNED, Told, messages, times, within
from tests.comparison.gateway.desks import CAPABILITY, Mail, Tasks
from tests.comparison.gateway.stalling import stall
from tests.comparison.gateway.talker import Talker, shown
from tests.comparison.parties import Desk
from tests.crash.victim import Victim
from tests.e2e.clients import Client, mint
from tests.e2e.processes import ADMIN_TOKEN, Address

RULES: Final = """
[[channels]]
pattern = "news.>"
durable = true
"""


class GatewaySide:
    """A gateway of its own process, with its state on disk."""

    name = "cell0gw"

    def __init__(self, folder: Path) -> None:
        self._victim = Victim(folder / "gateway", RULES)
        self._victim.start()
        self.built: dict[str, None] = {}
        self.tokens = {who: mint(self.address, who) for who in ("sender", "worker", "a", "b")}

    @property
    def address(self) -> Address:
        """Where it serves now."""
        return Address(self._victim.port)

    def versions(self) -> str:
        """What was run."""
        return f"cell0gw {__version__}"

    def mail(self, wait: float) -> Desk:
        """Work that may be begun up to five times."""
        return Mail(self._victim.port, self.tokens, wait)

    def jobs(self, wait: float) -> Desk:
        """Work that is begun once at most, and has a result."""
        return Tasks(self._victim.port, self.tokens, wait)

    def kill(self) -> None:
        """SIGKILL, and the next process."""
        self._victim.kill()
        self._victim.start()

    def close(self) -> None:
        """Leave no process behind."""
        self._victim.end()

    def admin(self) -> Client:
        """An operator."""
        return Client(self.address, ADMIN_TOKEN)

    def left(self) -> str:
        """What the operator finds of the work that was given up; letters are removed then."""
        with self.admin() as admin:
            letters = admin.call("gateway.getDeadLetters")["messages"]
            for one in letters:
                admin.call("gateway.discard", message_id=one["message_id"])
        with self._agent("sender") as sender:
            tasks = sender.call("task.list", status="failed")["tasks"]
        found = [f"{len(letters)} dead letter in `gateway.getDeadLetters`, which can be sent again"] if letters else []
        found += [f"the task, which its creator can read: `failed`, `{one['code']}`" for one in tasks]
        return ", ".join(found)

    def on_a_clock(self, told: Told, seconds: float) -> None:
        """So many seconds as they are, with the default wait of 30, on a gateway in memory whose clock is moved."""
        gateway = MemoryGateway()
        try:
            worker, sender = gateway.connect("worker", ack=True), gateway.connect("sender")
            sender.call("agent.send", agent_id="worker", message="hello", receipts=True)
            gateway.advance(0)
            message_id = worker.received("agent.message")[0]["message_id"]
            for _ in range(round(seconds / 20)):
                worker.call("agent.ack", message_id=message_id, status="working")
                gateway.advance(20)
            worker.call("agent.ack", message_id=message_id, status="done")
            gateway.advance(1)
            brought = len(worker.received("agent.message"))
            statuses = [receipt["status"] for receipt in sender.received("agent.receipt")]
        finally:
            gateway.close()
        told.note(CAME, f"on a clock that was moved by all of the {seconds:.0f} s, {times(brought)} as well")
        told.note(LEARNED, f"on that clock {', '.join(f'`{status}`' for status in statuses)}")

    def mistyped(self) -> list[tuple[str, str]]:
        """What is answered to names that nobody bears; and whether it waits."""
        worker = Talker(self.address)
        worker.call("auth.authenticate", token=self.tokens["worker"], capabilities=[CAPABILITY])
        with worker, Client(self.address, self.tokens["sender"]) as sender:
            return [
                ("a message to `wroker`", shown(sender.request("agent.send", agent_id="wroker", message=1))),
                ("a call of `wroker`", shown(sender.request("agent.call", agent_id="wroker", message=1))),
                (
                    "a task for `transalte`",
                    shown(
                        sender.request("task.create", capability="transalte", message=1), "status", "serving", "near"
                    ),
                ),
            ]

    def converse(self, limit: int) -> tuple[int, str]:
        """Two that answer each message with a message.

        @return: how many were sent, and what ended it; empty: nothing did.
        """
        talkers = {who: self._agent(who) for who in ("a", "b")}
        try:
            answer = talkers["a"].request("agent.send", agent_id="b", message=0)
            for number in range(1, limit + 1):
                who, other = ("b", "a") if number % 2 else ("a", "b")
                letter = talkers[who].notification("agent.message")
                answer = talkers[who].request(
                    "agent.send", agent_id=other, message=number, in_reply_to=letter["message_id"]
                )
                if "error" in answer:
                    return number, shown(answer)
        finally:
            for talker in talkers.values():
                talker.connection.close()
        return limit, ""

    def deadlock(self, patience: float) -> list[tuple[str, str]]:
        """C{a}, which does one thing at a time, calls C{b} for what it was asked, and C{b} calls C{a} for that."""
        a, b = self._agent("a", max_inflight=1), self._agent("b", max_inflight=1)
        with a, b, self._agent("sender") as sender:
            sender.begin("agent.call", agent_id="a", message=1, timeout_ms=round(patience * 1000))
            first = a.notification("agent.invoke")
            a.begin("agent.call", agent_id="b", message=2, in_reply_to=first["call_id"])
            second = b.notification("agent.invoke")
            began = time.monotonic()
            answer = b.request("agent.call", agent_id="a", message=3, in_reply_to=second["call_id"])
            return [("`b`, which closes the circle", f"{shown(answer)}, {within(time.monotonic() - began)}")]

    def revoke(self) -> tuple[str, str, str]:
        """Take the worker's credential away while it is connected.

        @return: what the worker is told, what comes to it of what is sent afterwards, and what it is told when it tries
            again.
        """
        worker = self._agent("worker", channel="news.secret")
        with self.admin() as admin:
            began = time.monotonic()
            admin.call("auth.revokeToken", entity_id="worker")
            code = worker.close_code()
            ended = within(time.monotonic() - began)
            admin.call("channel.publish", channel="news.secret", message="afterwards")
        late = [one for one in worker.messages if one.get("method") == "channel.message"]
        with Client(self.address) as again:
            refused = shown(again.request("auth.authenticate", token=self.tokens["worker"]))
        return f"close code {code}, {ended}", messages(len(late)), refused

    def stalled(self, told: Told, count: int, size: int) -> None:
        """One of two subscribers stops reading."""
        stall(self.address, told, count, size)

    def _agent(self, who: str, channel: str = "", **declared: Any) -> Talker:
        talker = Talker(self.address)
        talker.call("auth.authenticate", token=self.tokens[who], **declared)
        if channel:
            talker.call("channel.subscribe", channel=channel)
        return talker
