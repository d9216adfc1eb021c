"""Who is subscribed to tasks, when something else happens while the disk is read for it."""

from __future__ import annotations

import json

from cell0gw.testing import Client
from tests.tasks.working import TaskCase


class SubscribingTests(TaskCase):
    """C{task.subscribe} on a slow disk."""

    def subscribe(self, client: Client, task_id: str) -> None:
        """Ask for it, and don't get the answer yet."""
        self.store.held = True
        params = {"task_id": task_id}
        client.send(json.dumps({"jsonrpc": "2.0", "id": "s", "method": "task.subscribe", "params": params}))
        self.store.held = False

    def test_gone(self) -> None:
        """Who has said goodbye meanwhile, or is lost, is not subscribed."""
        task_id = self.create()
        for leave in (Client.disconnect, Client.vanish):
            client = self.gateway.connect("creator")
            self.subscribe(client, task_id)
            leave(client)
            self.store.release()
            self.assertEqual(len(self.gateway.tasks.streams), 0)

    def test_other_token(self) -> None:
        """Who has a token meanwhile that does not let it see the task is not subscribed, and learns nothing."""
        task_id = self.create()
        client = self.gateway.connect(token=self.gateway.token("boss", permissions=["task.read:creator"]))
        self.subscribe(client, task_id)
        client.call("auth.refresh", token=self.gateway.token("boss", permissions=["task.create"]))
        self.store.release()
        client.flush()
        (answer,) = [one for one in client.messages if one.get("id") == "s"]
        self.assertEqual((answer["error"]["code"], len(self.gateway.tasks.streams)), (-32006, 0))
