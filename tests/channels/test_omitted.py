"""Publications that are longer than a client takes, as it says in C{auth.authenticate}: told, and not sent."""

from __future__ import annotations

import json
from typing import Any

from cell0gw.testing import Client
from tests.channels.test_recovery import RecoveryCase, messages
from tests.tasks.working import TaskCase

LIMIT = 2000
LONG = "x" * 3000


class OmittedTests(RecoveryCase):
    """C{channel.message} to clients that take little."""

    def small(self, name: str = "b") -> Client:
        return self.gateway.connect(name, max_message_size=LIMIT)

    def came(self, client: Client, channel: str = "x") -> list[tuple[int, Any, bool]]:
        """What came of a channel: the number, the message, and whether it was said that it is too long."""
        return [(one["offset"], one["message"], "omitted" in one) for one in messages(client, channel)]

    def test_live(self) -> None:
        """It comes without its message, with its position and its length, in its order; to others it comes whole."""
        small, other = self.small(), self.gateway.connect("c")
        for client in (small, other):
            self.subscribe(client=client)
        self.publish(1, LONG, 3)
        self.assertEqual(self.came(small), [(1, 1, False), (2, None, True), (3, 3, False)])
        self.assertEqual(self.came(other), [(1, 1, False), (2, LONG, False), (3, 3, False)])
        told, whole = messages(small)[1], messages(other)[1]
        self.assertGreater(told.pop("omitted"), len(LONG))
        self.assertEqual(told, whole | {"message": None})
        self.assertEqual(small.close_code, None)

    def test_missed(self) -> None:
        """So it is with what a client has missed on a durable channel: its position moves on, and it need not end."""
        self.fill(1, "durable.x")
        self.publish(LONG, "next", channel="durable.x")
        small = self.small()
        answer = self.subscribe("durable.x", small, since={"offset": 0, "epoch": self.epoch("durable.x")})
        self.gateway.advance(1)
        self.assertTrue(answer["recovered"])
        self.assertEqual(self.came(small, "durable.x"), [(1, 1, False), (2, None, True), (3, "next", False)])

    def test_filters(self) -> None:
        """A filter judges the message all the same; who publishes and excludes itself gets nothing."""
        small, picky = self.small(), self.small("c")
        self.subscribe(client=small, filter={"field": "kind", "op": "eq", "value": "a"})
        self.subscribe(client=picky, filter={"field": "kind", "op": "eq", "value": "b"})
        published = picky.call("channel.publish", channel="x", message={"kind": "a", "t": LONG})
        self.assertEqual((published["recipients"], self.came(small)), (1, [(1, None, True)]))
        again = small.call("channel.publish", channel="x", message={"kind": "a", "t": LONG}, exclude_self=True)
        self.assertEqual((again["recipients"], len(self.came(small)), self.came(picky)), (0, 1, []))

    def test_as_long(self) -> None:
        """What is exactly as long as a client takes comes whole."""
        self.subscribe(client=self.b)
        self.publish("x" * 1000)
        (short,) = messages(self.b)
        whole = {"jsonrpc": "2.0", "method": "channel.message", "params": short}
        rest = len(json.dumps(whole, separators=(",", ":"))) - 1000
        for more, omitted in ((0, False), (1, True)):
            small = self.small(f"s{more}")
            self.subscribe(client=small)
            self.publish("x" * (LIMIT - rest + more))
            self.assertEqual(self.came(small)[-1][2], omitted)


class OmittedEventTests(TaskCase):
    """C{task.event} to clients that take little."""

    def test_live_and_missed(self) -> None:
        """An event that is too long comes without its data, live and when it was missed; the task is followed on."""
        small = self.gateway.connect("creator", max_message_size=LIMIT)
        task_id = self.create()
        small.call("task.subscribe", task_id=task_id)
        worker = self.worker()
        worker.call("agent.progress", call_id=f"{task_id}.1", data=LONG)
        self.answer(worker, f"{task_id}.1", "done")
        self.gateway.advance(1)
        live = self.events(small)
        self.assertEqual([event[1] for event in live], ["status", "progress", "result", "status"])
        self.assertEqual((live[1][2], live[2][2]), (None, {"result": "done"}))
        later = self.gateway.connect("creator", max_message_size=LIMIT)
        epoch = self.get(task_id)["epoch"]
        later.call("task.subscribe", task_id=task_id, since={"offset": 1, "epoch": epoch})
        self.gateway.advance(1)
        self.assertEqual(self.events(later), live)
        (told,) = [event for event in later.received("task.event") if "omitted" in event]
        self.assertGreater(told["omitted"], len(LONG))
