"""``task``: what clients are answered who create tasks, and follow them."""

from __future__ import annotations

from cell0gw.tasks import quotas
from tests.tasks.working import TaskCase


class CreationTests(TaskCase):
    """C{task.create}, C{task.get} and C{task.list}"""

    def test_created(self) -> None:
        """The answer says where the task stands, and who could do it."""
        self.worker("w", "translate")
        answer = self.creator.call("task.create", capability="translat", message=1)
        task_id, epoch = answer["task_id"], answer["epoch"]
        self.assertEqual(
            answer,
            {"task_id": task_id, "status": "submitted", "offset": 1, "epoch": epoch, "serving": 0,
             "near": ["translate"]},
        )  # fmt: skip
        self.assertEqual(self.creator.call("task.create", capability="translate", message=1)["serving"], 1)

    def test_one_target(self) -> None:
        """Exactly one of an agent and a capability is given, and a key for the policy that needs one."""
        for params in ({}, {"agent_id": "a", "capability": "b"}, {"agent_id": "a", "policy": "sticky"}):
            error = self.creator.refusal("task.create", message=1, **params)
            self.assertEqual(error["code"], -32602)

    def test_permission(self) -> None:
        """A token may create tasks for whom it may."""
        token = self.gateway.token("x", permissions=["task.create:capability:t", "task.create:w"])
        client = self.gateway.connect(token=token)
        client.call("task.create", capability="t", message=1)
        client.call("task.create", agent_id="w", message=1)
        self.assertEqual(client.refusal("task.create", agent_id="v", message=1)["code"], -32002)

    def test_key(self) -> None:
        """A request with the same key is answered with the same task, also once that is done."""
        worker = self.worker()
        first = self.creator.call("task.create", capability="t", message=1, idempotency_key="k")
        self.answer(worker, f"{first['task_id']}.1")
        again = self.creator.call("task.create", capability="t", message=1, idempotency_key="k")
        self.assertEqual((again["task_id"], again["replayed"], again["status"]), (first["task_id"], True, "completed"))
        error = self.creator.refusal("task.create", capability="t", message=2, idempotency_key="k")
        self.assertEqual(error["code"], -32007)

    def test_kept(self) -> None:
        """A task that is over is kept for a week, or for as long as its creator says."""
        week, hour = self.create(ttl_seconds=1), self.create(ttl_seconds=1, result_ttl_seconds=3600)
        self.gateway.advance(3)
        self.gateway.clock.advance(3600)
        self.gateway.advance(3)
        self.assertEqual(self.status(week), ("failed", "expired"))
        self.assertEqual(self.creator.refusal("task.get", task_id=hour)["code"], -32006)

    def test_sight(self) -> None:
        """Who has created a task, and who has it, see it; others by a permission; to the rest it is not there."""
        task_id = self.create()
        worker, other = self.worker(), self.gateway.connect("other")
        token = self.gateway.token("boss", permissions=["task.read:creator"])
        boss = self.gateway.connect(token=token)
        for client in (worker, boss):
            self.assertEqual(client.call("task.get", task_id=task_id)["task_id"], task_id)
        unknown = other.refusal("task.get", task_id="task_0")
        for method in ("task.get", "task.cancel", "task.subscribe"):
            self.assertEqual(other.refusal(method, task_id=task_id), unknown)
        self.assertEqual(other.refusal("task.answer", task_id=task_id, question="q", message=1), unknown)
        self.assertEqual(boss.refusal("task.cancel", task_id=task_id)["code"], -32006)
        self.assertEqual(boss.call("task.list", entity_id="creator")["tasks"][0]["task_id"], task_id)
        self.assertEqual(other.refusal("task.list", entity_id="creator")["code"], -32002)
        self.assertEqual(other.call("task.list"), {"tasks": []})

    def test_narrow_sight(self) -> None:
        """Who sees few learns of the others by no task: neither that they are there, nor who has done it."""
        self.worker("acme.w", "translate")
        rights = ["task.create", "task.read", "presence.get:zeta.>"]
        client = self.gateway.connect(token=self.gateway.token("zeta.a", permissions=rights))
        answers = [client.refusal("task.create", agent_id=name, message=1) for name in ("acme.w", "acme.x")]
        self.assertEqual([(a["code"], a["data"]["near"]) for a in answers], [(-32006, [])] * 2)
        created = client.call("task.create", capability="translat", message=1)
        self.assertEqual((created["serving"], created["near"]), (0, []))
        task_id = client.call("task.create", capability="translate", message=1)["task_id"]
        self.assertNotIn("worker", client.call("task.get", task_id=task_id))
        others = self.create()
        self.assertEqual(client.refusal("task.get", task_id=others)["code"], -32006)
        self.assertEqual(client.refusal("task.list", entity_id="creator")["code"], -32002)

    def test_begun_by_others(self) -> None:
        """Who says something of another's attempt is refused, and changes nothing: the agent may refuse the task."""
        worker = self.worker()
        task_id = self.create()
        for method, params in (("agent.progress", {"data": 1}), ("agent.ask", {"message": 1})):
            self.creator.request(method, {"call_id": f"{task_id}.1", **params})
        self.answer(worker, f"{task_id}.1", code=-32601, message="not I")
        self.assertEqual(self.status(task_id), ("submitted", None))

    def test_managed(self) -> None:
        """With the permission others may cancel, and answer."""
        task_id = self.create()
        boss = self.gateway.connect(token=self.gateway.token("boss", permissions=["task.manage:creator"]))
        self.assertEqual(boss.call("task.cancel", task_id=task_id)["status"], "cancelled")

    def test_list(self) -> None:
        """Tasks are listed newest first, in pages, by what is asked for."""
        tasks = [self.create() for _ in range(5)]
        named = self.create(agent_id="z")
        page = self.creator.call("task.list", limit=2)
        self.assertEqual([t["task_id"] for t in page["tasks"]], [named, tasks[4]])
        rest = self.creator.call("task.list", after=page["next"])
        self.assertEqual([t["task_id"] for t in rest["tasks"]], tasks[3::-1])
        self.assertNotIn("next", rest)
        (only,) = self.creator.call("task.list", agent_id="z")["tasks"]
        self.assertEqual((only["agent_id"], only["capability"], only["from"]), ("z", None, "creator"))
        self.assertEqual(self.creator.call("task.list", status="completed"), {"tasks": []})
        self.assertEqual(self.creator.refusal("task.list", after="task_0")["code"], -32006)

    def test_quotas(self) -> None:
        """Nobody has more open tasks than they leave to others, nor more bytes of them."""
        self.patch(quotas, "MAX_TASKS", 4)
        for _ in range(2):
            self.create()
        error = self.creator.refusal("task.create", capability="t", message=1)
        self.assertEqual((error["code"], error["data"]["limit"]), (-32003, "tasks"))
        self.gateway.connect("other").call("task.create", capability="t", message=1)
        self.patch(quotas, "MAX_SIZE", 5000)
        error = self.gateway.connect("third").refusal("task.create", capability="t", message="x" * 4000)
        self.assertEqual(error["data"]["limit"], "task_bytes")

    def test_results_have_a_share(self) -> None:
        """What agents answer counts for who has created the task, and has no room beyond the share of that one."""
        worker = self.worker()
        first, second = self.create(), self.create()
        self.patch(quotas, "MAX_SIZE", 20_000)
        self.answer(worker, f"{first}.1", "x" * 15_000)
        self.answer(worker, f"{second}.1", "x")
        self.assertEqual([told["reason"] for told in worker.received("agent.cancelled")], ["not_kept"])
        error = worker.refusal("task.complete", task_id=second, attempt=1, result="x")
        self.assertEqual((error["code"], error["data"]["limit"]), (-32003, "task_bytes"))
        self.patch(quotas, "MAX_SIZE", 80_000)
        self.assertEqual(worker.call("task.complete", task_id=second, attempt=1, result="x")["status"], "completed")

    def test_statistics(self) -> None:
        """Figures say how many tasks there are, and what became of them."""
        worker = self.worker(max_inflight=1)
        done, _, waiting = self.create(), self.create(), self.create()
        self.answer(worker, f"{done}.1")
        self.creator.call("task.cancel", task_id=waiting)
        boss = self.gateway.connect(token=self.gateway.token("boss", "system", permissions=["gateway.*"]))
        figures = boss.call("gateway.getStats")["services"]["task"]
        names = ("tasks_open", "tasks_created", "tasks_completed", "tasks_cancelled")
        self.assertEqual([figures[name] for name in names], [1, 3, 1, 1])


class StreamTests(TaskCase):
    """C{task.subscribe}, and C{task.event}"""

    def test_events(self) -> None:
        """Who is subscribed gets the task first, and then each event, numbered without a gap."""
        task_id = self.create()
        shown = self.creator.call("task.subscribe", task_id=task_id)
        self.assertEqual((shown["status"], shown["offset"], shown["message"]), ("submitted", 1, "do it"))
        worker = self.worker()
        worker.call("agent.progress", call_id=f"{task_id}.1", data={"at": 50})
        worker.call("agent.progress", call_id=f"{task_id}.1", data={"at": 60}, ephemeral=True)
        self.answer(worker, f"{task_id}.1", "ok")
        self.assertEqual(
            self.events(),
            [
                (2, "status", {"status": "working"}),
                (3, "progress", {"at": 50}),
                (None, "progress", {"at": 60}),
                (4, "result", {"result": "ok"}),
                (5, "status", {"status": "completed"}),
            ],
        )
        self.creator.call("task.unsubscribe", task_id=task_id)

    def test_since(self) -> None:
        """With a position all that came after it comes, once, and then what comes."""
        task_id, worker = self.create(), self.worker()
        for number in range(250):
            worker.call("agent.progress", call_id=f"{task_id}.1", data=number)
        since = {"offset": 2, "epoch": self.get(task_id)["epoch"]}
        shown = self.creator.call("task.subscribe", task_id=task_id, since=since)
        self.assertTrue(shown["recovered"])
        self.gateway.advance(1, 0.01)
        worker.call("agent.progress", call_id=f"{task_id}.1", data=250)
        self.assertEqual([data for _, _, data in self.events()], list(range(251)))

    def test_lost_position(self) -> None:
        """When something may be missing it is said, and nothing of the past comes."""
        task_id = self.create()
        for since in ({"offset": 0, "epoch": "other"}, {"offset": 9, "epoch": self.get(task_id)["epoch"]}):
            self.assertFalse(self.creator.call("task.subscribe", task_id=task_id, since=since)["recovered"])
        self.gateway.advance(1)
        self.assertEqual(self.events(), [])

    def test_beside_channels(self) -> None:
        """What a session missed of channels and of tasks comes side by side."""
        task_id, worker = self.create(), self.worker()
        for number in range(150):
            self.creator.call("channel.publish", channel="c", message=number)
            worker.call("agent.progress", call_id=f"{task_id}.1", data=number)
        reader = self.gateway.connect("creator")
        reader.call("channel.subscribe", channel="c", history=50)
        epoch = self.get(task_id)["epoch"]
        reader.call("task.subscribe", task_id=task_id, since={"offset": 102, "epoch": epoch})
        self.gateway.advance(1, 0.01)
        self.assertEqual([m["message"] for m in reader.received("channel.message")], list(range(100, 150)))
        self.assertEqual([data for _, _, data in self.events(reader)], list(range(100, 150)))

    def test_subscriptions_bounded(self) -> None:
        """A session follows no more tasks than it may; each ends with its connection."""
        self.gateway.guard.limits.max_subscriptions = 2
        tasks = [self.create() for _ in range(3)]
        for task_id in tasks[:2]:
            self.creator.call("task.subscribe", task_id=task_id)
        self.assertEqual(self.creator.refusal("task.subscribe", task_id=tasks[2])["code"], -32005)
        self.creator.disconnect()
        self.assertEqual(len(self.gateway.tasks.streams), 0)

    def test_refreshed(self) -> None:
        """What a new token does not let a session see ends."""
        task_id = self.create()
        wide = self.gateway.token("boss", permissions=["task.read:creator"])
        boss = self.gateway.connect(token=wide)
        boss.call("task.subscribe", task_id=task_id)
        boss.call("auth.refresh", token=self.gateway.token("boss", permissions=["task.read:nobody"]))
        self.creator.call("task.cancel", task_id=task_id)
        self.assertEqual(self.events(boss), [])
