"""Directed messages: to who is here, to who is not, and what becomes of them."""

from __future__ import annotations

from typing import Any

from tests.stress.checks import equal, until
from tests.stress.stage import Stage, scenario, together
from tests.stress.victim import LIMITS


@scenario()
async def mail_in_order(stage: Stage) -> None:
    """What was sent to ten agents that are away comes when they come, in order, each message once."""
    sender = await stage.honest("sender")
    agents = [stage.entity(f"agent{number}") for number in range(10)]
    for agent in agents:
        await stage.mint(agent.removeprefix(stage.prefix + "."))
    for count in range(40):
        answers = await together(sender.call("agent.send", agent_id=agent, message=count) for agent in agents)
        equal({answer["status"] for answer in answers}, {"queued"}, "what becomes of mail to who is away")
    for number in range(10):
        agent = await stage.honest(f"agent{number}")
        await agent.inbox.wait("agent.message", 40)
        await sender.call("agent.send", agent_id=agents[number], message=40)
        await agent.inbox.wait("agent.message", 41)
        got = agent.inbox.of("agent.message")
        equal([params["message"] for params in got], list(range(41)), "messages as they came")
        equal({params["from"] for params in got}, {stage.entity("sender")}, "whom they are from")
        equal(len({params["message_id"] for params in got}), 41, "different ids")


@scenario()
async def mail_that_is_acknowledged(stage: Stage) -> None:
    """Who acknowledges gets 256 at most, and the next with each word; who breaks off gets the rest again."""
    count = 290
    await stage.mint("agent")
    sender = await stage.honest("sender")
    for start in range(0, count, 29):
        await together(
            sender.call("agent.send", agent_id=stage.entity("agent"), message=each) for each in range(start, start + 29)
        )
    first = await stage.honest("agent", capabilities=["ack"])
    await first.inbox.wait("agent.message", 256)
    await first.call("rpc.ping")
    got = first.inbox.of("agent.message")
    equal([params["message"] for params in got], list(range(256)), "messages before the first word")
    for params in got[:100]:
        await first.call("agent.ack", message_id=params["message_id"], status="received")
    await first.inbox.wait("agent.message", count)
    first.drop()
    await first.lost
    again = await stage.honest("agent", capabilities=["ack"])
    await again.inbox.wait("agent.message", count - 100)
    await again.call("rpc.ping")
    got = again.inbox.of("agent.message")
    equal([params["message"] for params in got], list(range(100, count)), "messages that come again")
    await together(again.call("agent.ack", message_id=one["message_id"], status="done") for one in got)
    await again.close()
    empty = await stage.honest("agent", capabilities=["ack"])
    await empty.call("rpc.ping")
    equal(empty.inbox.of("agent.message"), [], "messages when all are acknowledged")


@scenario()
async def full_mailbox(stage: Stage) -> None:
    """A sender may fill half of a mailbox; what is beyond is refused, and none of those inside is lost for it."""
    most = LIMITS["mailbox_messages"] // 2
    await stage.mint("agent")
    sender = await stage.honest("sender")
    for start in range(0, most, 50):
        await together(
            sender.call("agent.send", agent_id=stage.entity("agent"), message=each) for each in range(start, start + 50)
        )
    for _ in range(20):
        refused = await sender.refusal("agent.send", agent_id=stage.entity("agent"), message="more")
        equal((refused.number, refused.data["limit"]), (-32003, "mailbox_messages"), "one message more")
    agent = await stage.honest("agent")
    await agent.inbox.wait("agent.message", most)
    got = agent.inbox.of("agent.message")
    equal([params["message"] for params in got], list(range(most)), "messages as they came")


@scenario()
async def receipts_in_order(stage: Stage) -> None:
    """Of fifty messages with receipts each step is told once, and in its order."""
    agent = await stage.honest("agent", capabilities=["ack"])
    sender = await stage.honest("sender")
    ids = []
    for number in range(50):
        answer = await sender.call("agent.send", agent_id=stage.entity("agent"), message=number, receipts=True)
        ids.append(answer["message_id"])
    await agent.inbox.wait("agent.message", 50)
    words = ["received", "started", "done"]

    async def work(message_id: str) -> None:
        for word in words:
            await agent.call("agent.ack", message_id=message_id, status=word)

    stage.chance.shuffle(order := list(ids))
    await together(work(message_id) for message_id in order)
    await sender.inbox.wait("agent.receipt", 250)
    steps: dict[str, list[Any]] = {message_id: [] for message_id in ids}
    for receipt in sender.inbox.of("agent.receipt"):
        steps[receipt["message_id"]].append(receipt["status"])
    for told in steps.values():
        equal(told, ["queued", "sent", *words], "receipts of one message")
    delivery = await sender.call("agent.getDelivery", message_id=ids[0])
    equal(delivery["status"], "done", "where it stands")


@scenario()
async def mail_across_a_break(stage: Stage) -> None:
    """Two write to one that keeps losing its connection: all that it says it has got stays away, all else comes."""
    await stage.mint("agent")
    senders = [await stage.honest(f"sender{number}") for number in range(2)]
    got: dict[str, Any] = {}
    twice = 0

    async def send(number: int) -> None:
        for count in range(60):
            await senders[number].call(
                "agent.send", agent_id=stage.entity("agent"), message=[number, count], receipts=True
            )

    sending = [together([send(number)]) for number in range(2)]
    work = together(sending)
    finished: list[Any] = []

    async def all_sent() -> None:
        await work
        finished.append(True)

    async def read() -> None:
        nonlocal twice
        while len(got) < 120:
            agent = await stage.lean("agent", capabilities=["ack"])
            cut_after = stage.chance.randint(1, 30)
            seen = 0
            while seen < cut_after and len(got) < 120:
                letters = agent.inbox.of("agent.message")
                await until(lambda: len(agent.inbox.of("agent.message")) > seen, "more mail")  # noqa: B023
                letters = agent.inbox.of("agent.message")
                for params in letters[seen:]:
                    twice += params["message_id"] in got
                    got[params["message_id"]] = params["message"]
                    await agent.call("agent.ack", message_id=params["message_id"], status="received")
                seen = len(letters)
            agent.reset()

    await together([all_sent(), read()])
    equal(sorted(got.values()), sorted([number, count] for number in range(2) for count in range(60)), "what arrived")
    equal(twice, 0, "messages that came again though they were acknowledged")
