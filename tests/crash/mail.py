"""Kill -9 while a thousand messages are sent, and again while they are brought: none is lost, none is there twice.

python -m tests.crash.mail [--cycles 30] [--seed 1]
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.crash.victim import Victim
from tests.crash.wire import Violation
from tests.e2e.processes import ADMIN_TOKEN, PATIENCE

MESSAGES = 1000


class Peer:
    """A client that reads what comes, and knows answers by their ids.

    @ivar answers: results by request id; C{messages}: the params of C{agent.message}, in order.
    """

    def __init__(self, port: int, token: str, *capabilities: str) -> None:
        self.socket: ClientConnection = connect(f"ws://127.0.0.1:{port}", max_size=None, compression=None).__enter__()
        self.answers: dict[Any, Any] = {}
        self.messages: list[dict[str, Any]] = []
        self.invoked: list[str] = []
        self.call("auth.authenticate", token=token, capabilities=list(capabilities))

    def ask(self, request_id: Any, method: str, **params: Any) -> None:
        """Make a call, and don't wait."""
        self.socket.send(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}))

    def call(self, method: str, **params: Any) -> Any:
        """Make a call, and wait for its result."""
        self.answers.pop("call", None)
        self.ask("call", method, **params)
        while "call" not in self.answers:
            self.read()
        return self.answers["call"]

    def read(self) -> None:
        """Take up the next thing that comes.

        @raise ConnectionClosed: nothing will.
        @raise Violation: it is an error.
        """
        message = json.loads(self.socket.recv(PATIENCE))
        if message.get("method") == "agent.message":
            self.messages.append(message["params"])
        elif message.get("method") == "agent.invoke":
            self.invoked.append(message["id"])
        elif "error" in message:
            raise Violation(f"{message}")
        elif "id" in message:
            self.answers[message["id"]] = message["result"]

    def read_to_the_end(self) -> None:
        """Take up whatever came before the gateway was killed."""
        try:
            while True:
                self.read()
        except ConnectionClosed:
            pass


def cycle(folder: Path, chance: random.Random) -> dict[str, int]:
    """Send, kill, send again, bring, kill, bring the rest.

    @return: how much of it was done when the gateway was killed.
    @raise Violation: something was lost, or is there twice.
    """
    victim = Victim(folder, f"[gateway]\nmailbox_messages = {5 * MESSAGES}\n")
    port = victim.start()
    admin = Peer(port, ADMIN_TOKEN)
    sender_token, recipient_token, worker_token = (
        admin.call("auth.generateToken", entity_id=name)["token"] for name in ("sender", "recipient", "worker")
    )
    worker = Peer(port, worker_token, "work", "ack")
    admin.ask("in flight", "agent.call", capability="work", message=1)
    while not worker.invoked:
        worker.read()

    sender = Peer(port, sender_token)
    _send_all(sender)
    enough = chance.randrange(1, MESSAGES)
    while len(sender.answers) < enough:
        sender.read()
    victim.kill()
    sender.read_to_the_end()
    admin.read_to_the_end()  # whose call is in flight is told: its connection ends
    acknowledged = {n: answer["message_id"] for n, answer in sender.answers.items() if n != "call"}

    port = victim.start()
    sender = Peer(port, sender_token)
    _send_all(sender)
    while len(sender.answers) <= MESSAGES:
        sender.read()
    ids = {n: answer["message_id"] for n, answer in sender.answers.items() if n != "call"}
    for n, message_id in acknowledged.items():
        if ids[n] != message_id or not sender.answers[n].get("replayed"):
            raise Violation(f"message {n} was acknowledged twice: as {message_id} and as {ids[n]}")

    first = Peer(port, recipient_token, "ack")
    enough = chance.randrange(1, MESSAGES // 2)
    asked = 0
    while sum(isinstance(n, int) for n in first.answers) < enough:
        first.read()
        asked = _acknowledge(first, asked)
    victim.kill()
    first.read_to_the_end()
    taken = {first.messages[n]["message_id"] for n in first.answers if isinstance(n, int)}

    port = victim.start()
    second = Peer(port, recipient_token, "ack")
    asked = 0
    while sum(isinstance(n, int) for n in second.answers) < len(second.messages) or (
        len({m["message_id"] for m in first.messages + second.messages}) < MESSAGES
    ):
        second.read()
        asked = _acknowledge(second, asked)
    _check(first, second, taken, ids)
    _check_calls(port, worker_token, worker.invoked[0])
    victim.kill()
    return {"acknowledged": len(acknowledged), "taken": len(taken), "again": len(second.messages)}


def _send_all(sender: Peer) -> None:
    for n in range(MESSAGES):
        sender.ask(n, "agent.send", agent_id="recipient", message=n, idempotency_key=f"key {n}")


def _acknowledge(recipient: Peer, asked: int) -> int:
    """Acknowledge what has come since; the request has the number of the message.

    @return: how many have been acknowledged.
    """
    while asked < len(recipient.messages):
        recipient.ask(asked, "agent.ack", message_id=recipient.messages[asked]["message_id"], status="received")
        asked += 1
    return asked


def _check(first: Peer, second: Peer, taken: set[str], ids: dict[Any, str]) -> None:
    for peer in (first, second):
        numbers = [message["message"] for message in peer.messages]
        if numbers != sorted(set(numbers)):
            raise Violation(f"out of order, or twice on one connection: {numbers}")
    came = {message["message"]: message["message_id"] for message in first.messages + second.messages}
    if came != ids:
        raise Violation(f"lost or doubled: {set(ids.items()) ^ set(came.items())}")
    again = taken & {message["message_id"] for message in second.messages}
    if again:
        raise Violation(f"brought again after they were acknowledged: {again}")


def _check_calls(port: int, worker_token: str, old_call: str) -> None:
    """The answer to a call of the process that was killed is dropped, and a new call works."""
    admin, worker = Peer(port, ADMIN_TOKEN), Peer(port, worker_token, "work", "ack")
    worker.socket.send(json.dumps({"jsonrpc": "2.0", "id": old_call, "result": "late"}))
    worker.call("rpc.ping")
    admin.ask("new", "agent.call", capability="work", message=2)
    while not worker.invoked:
        worker.read()
    worker.socket.send(json.dumps({"jsonrpc": "2.0", "id": worker.invoked[0], "result": "done"}))
    while "new" not in admin.answers:
        admin.read()
    figures = admin.call("gateway.getStats")["services"]["agent"]
    if (admin.answers["new"], figures["answers_late"], figures["messages_waiting"]) != ("done", 1, 0):
        raise Violation(f"after all that: {admin.answers['new']}, {figures}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cycles", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    chance = random.Random(options.seed)
    for number in range(options.cycles):
        with tempfile.TemporaryDirectory() as folder:
            done = cycle(Path(folder, "gateway"), chance)
        print(f"cycle {number}: {done}", flush=True)
    print(f"{options.cycles} cycles, seed {options.seed}: nothing lost, nothing twice")


if __name__ == "__main__":
    main()
