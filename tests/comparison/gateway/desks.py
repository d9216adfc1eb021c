"""Work that reaches an agent by the gateway: as mail, or as tasks."""

from __future__ import annotations

import time
from typing import Any, Final

from tests.comparison.facts import Learned, Letter, gathered
from tests.comparison.gateway.talker import Access, shown
from tests.e2e.processes import PATIENCE

CAPABILITY: Final = "translate"
ENDS: Final = {"done", "failed", "expired", "recalled", "completed", "cancelled", "rejected"}


class MailSender:
    """Sends by C{agent.send}, with receipts."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._texts: dict[str, str] = {}
        self._heard: list[Learned] = []
        self.come_back()

    def come_back(self, desk: Mail | None = None) -> None:
        """Be there again."""
        if desk is not None:
            self._access = desk.access
        self.client = self._access.connect("sender")

    def leave(self) -> None:
        """Go away, when all has been read that has come."""
        self._heard += gathered(self._receipt, len(self._texts), 1.0)
        self.client.connection.close()

    def send(self, text: str, key: str | None = None) -> str:
        """Send a text to the worker."""
        answer = self.client.request(
            "agent.send", agent_id="worker", message=text, receipts=True, idempotency_key=key or text
        )
        if "result" in answer:
            self._texts[answer["result"]["message_id"]] = text
        return shown(answer, "status", "kept", "replayed")

    def learned(self, ends: int) -> list[Learned]:
        """What the receipts say."""
        heard, self._heard = self._heard, []
        return heard + gathered(self._receipt, ends - sum(one.end for one in heard))

    def _receipt(self, seconds: float) -> Learned | None:
        receipt = self.client.polled("agent.receipt", seconds)
        if receipt is None:
            return None
        detail = f" (\u201c{receipt['detail']}\u201d)" if receipt.get("detail") else ""
        status = receipt["status"]
        return Learned(self._texts[receipt["message_id"]], f"`{status}`{detail}", status in ENDS)


class MailReceiver:
    """Gets mail on a connection, one message at a time, and acknowledges."""

    def __init__(self, access: Access) -> None:
        terms = {"window": 1, "ack_wait_ms": round(access.wait * 1000)}
        self.client = access.connect("worker", ack=True, mail=terms)

    def take(self, seconds: float) -> Letter | None:
        """The next message."""
        message = self.client.polled("agent.message", seconds)
        return None if message is None else Letter(message["message"], message["attempt"], message["message_id"])

    def working(self, letter: Letter) -> None:
        """Say that the work goes on."""
        self.client.call("agent.ack", message_id=letter.handle, status="working")

    def done(self, letter: Letter) -> str:
        """Say that it is done."""
        return shown(self.client.request("agent.ack", message_id=letter.handle, status="done"), "status")

    def leave(self) -> None:
        """Go away."""
        self.client.connection.close()


class TaskSender:
    """Creates tasks, and follows them."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._tasks: dict[str, tuple[str, dict[str, Any]]] = {}
        self.come_back()

    def come_back(self, desk: Mail | None = None) -> None:
        """Be there again."""
        if desk is not None:
            self._access = desk.access
        self.client = self._access.connect("sender")

    def leave(self) -> None:
        """Go away."""
        self.client.connection.close()

    def send(self, text: str, key: str | None = None) -> str:
        """Create a task for whoever serves the capability."""
        answer = self.client.request("task.create", capability=CAPABILITY, message=text, idempotency_key=key or text)
        if "result" in answer:
            result = answer["result"]
            self._tasks[result["task_id"]] = text, {"offset": result["offset"], "epoch": result["epoch"]}
        return shown(answer, "status", "serving", "replayed")

    def learned(self, ends: int) -> list[Learned]:
        """What the events of the tasks say, since each was created."""
        for task_id, (_, since) in self._tasks.items():
            self.client.call("task.subscribe", task_id=task_id, since=since)

        def poll(seconds: float) -> Learned | None:
            event = self.client.polled("task.event", seconds)
            if event is None:
                return None
            data, text = event["data"], self._tasks[event["task_id"]][0]
            if event["type"] != "status":
                return Learned(text, f"the {event['type']}", False)
            code = f" with the code `{data['code']}`" if data.get("code") else ""
            return Learned(text, f"`{data['status']}`{code}", data["status"] in ENDS)

        return gathered(poll, ends)


class TaskReceiver:
    """Asks for tasks, one at a time, and has each for as long as it may be silent."""

    def __init__(self, access: Access) -> None:
        self._lease = round(access.wait * 1000)
        self.client = access.connect("worker")

    def take(self, seconds: float) -> Letter | None:
        """The next task. A gateway that has just started may say that it is too early."""
        deadline = time.monotonic() + max(seconds, PATIENCE)
        while True:
            answer = self.client.request(
                "task.receive", capabilities=[CAPABILITY], max=1, wait_ms=round(seconds * 1000), lease_ms=self._lease
            )
            if "result" in answer or time.monotonic() > deadline:
                break
            time.sleep(answer["error"]["data"]["retry_after_ms"] / 1000)
        for task in answer["result"]["tasks"]:
            return Letter(task["message"], task["attempt"], {"task_id": task["task_id"], "call_id": task["call_id"]})
        return None

    def working(self, letter: Letter) -> None:
        """Say that the work goes on."""
        self.client.call("agent.progress", call_id=letter.handle["call_id"], data="at it")

    def done(self, letter: Letter) -> str:
        """Bring its result."""
        return shown(
            self.client.request(
                "task.complete", task_id=letter.handle["task_id"], attempt=letter.attempt, result="guten Morgen"
            ),
            "status",
        )

    def leave(self) -> None:
        """Go away."""
        self.client.connection.close()


class Mail:
    """Mail from C{sender} to C{worker}."""

    def __init__(self, port: int, tokens: dict[str, str], wait: float) -> None:
        self.access = Access(port, tokens, wait)

    def params(self) -> dict[str, Any]:
        """What makes the same desk in another process."""
        return self.access._asdict()

    def sender(self) -> MailSender:
        """A sender that is connected."""
        return MailSender(self.access)

    def receiver(self) -> MailReceiver:
        """A session of the worker that is connected."""
        return MailReceiver(self.access)


class Tasks(Mail):
    """Tasks of C{sender} for whoever serves a capability, which is C{worker}."""

    def sender(self) -> TaskSender:  # type: ignore[override]
        """A sender that is connected."""
        return TaskSender(self.access)

    def receiver(self) -> TaskReceiver:  # type: ignore[override]
        """A session of the worker that is connected."""
        return TaskReceiver(self.access)
