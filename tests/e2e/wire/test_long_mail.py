"""Mail that is longer than its recipient's library takes, as that is set up by default."""

from __future__ import annotations

from websockets.exceptions import ConnectionClosed

from tests.e2e.clients import Client, mint
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess

TAKEN = 1024 * 1024
"""What `websockets` takes by default."""


def test_locks_nobody_out(gateway: GatewayProcess) -> None:
    """A library that ends the connection with 1009 each time is sent the message three times; then what is behind it
    comes, and the sender is told.
    """
    token = mint(gateway, "reader")
    with Client(gateway, ADMIN_TOKEN) as admin:
        message_id = admin.call("agent.send", agent_id="reader", message="x" * 1_500_000, receipts=True)["message_id"]
        admin.call("agent.send", agent_id="reader", message="after it")
        ended = 0
        while ended < 10:
            client = Client(gateway, max_size=TAKEN)
            try:
                client.call("auth.authenticate", token=token, capabilities=["ack"])
                assert client.notification("agent.message")["message"] == "after it"
                break
            except ConnectionClosed as closed:
                assert closed.sent is not None and closed.sent.code == 1009
                ended += 1
            finally:
                client.connection.close()
        assert ended == 3
        receipts = [admin.notification("agent.receipt") for _ in range(3)]
        assert [receipt["status"] for receipt in receipts] == ["queued", "sent", "failed"]
        assert {receipt["message_id"] for receipt in receipts} == {message_id}
        assert "1500002 bytes are more than it takes (1009)" in receipts[-1]["detail"]
        (dead,) = admin.call("gateway.getDeadLetters", agent_id="reader")["messages"]
        assert dead["message_id"] == message_id
    gateway.wait_for(rf"\[warn\] {message_id} is a dead letter: .* 1500002 bytes")
