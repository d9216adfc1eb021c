"""Who is here: nobody is forgotten, and nobody stays who has gone."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.stress.checks import equal, until
from tests.stress.clients import Inbox
from tests.stress.stage import Stage, scenario, together


class View:
    """Who is here by what a watcher was told: the answer of C{presence.subscribe}, and each C{presence.diff} since."""

    def __init__(self, answer: dict[str, Any], inbox: Inbox) -> None:
        self._inbox = inbox
        self._read = 0
        self.version = answer["version"]
        self.entries = {entry["entity_id"]: entry for entry in answer["entries"]}

    def follow(self) -> None:
        """Take in what has come since."""
        diffs = self._inbox.of("presence.diff")
        for diff in diffs[self._read :]:
            equal(diff["from"], self.version, "the version that a diff goes on from")
            self.version = diff["to"]
            for entry in diff["joins"]:
                equal(entry["entity_id"] in self.entries, False, f"whether {entry['entity_id']}, who joins, was here")
                self.entries[entry["entity_id"]] = entry
            for entry in diff["updates"]:
                equal(entry["entity_id"] in self.entries, True, f"whether {entry['entity_id']}, who changes, was here")
                self.entries[entry["entity_id"]] = entry
            for gone in diff["leaves"]:
                equal(gone["entity_id"] in self.entries, True, f"whether {gone['entity_id']}, who leaves, was here")
                del self.entries[gone["entity_id"]]
        self._read = len(diffs)

    @property
    def statuses(self) -> dict[str, str]:
        """Who, and how they are."""
        return {name: entry["status"] for name, entry in self.entries.items()}


@scenario()
async def presence_churn(stage: Stage) -> None:
    """Sixty who come, change and go in every way: whoever watches sees exactly them, and in the end nobody."""
    watcher = await stage.honest("watcher")
    answer = await watcher.call("presence.subscribe", pattern=stage.entity("guest.*"))
    view = View(answer, watcher.inbox)

    async def one(number: int) -> None:
        for _ in range(stage.chance.randint(1, 4)):
            guest = await stage.lean(f"guest.{number}", address=stage.neighbour(1 + number % 3))
            await guest.call("presence.update", status=stage.chance.choice(("online", "busy", "away")))
            await asyncio.sleep(stage.chance.random() * 0.3)
            match stage.chance.randrange(4):
                case 0:
                    await guest.close()
                case 1:
                    guest.drop()
                case 2:
                    guest.reset()
                case _:
                    pass  # it stays

    await together(one(number) for number in range(60))
    await asyncio.sleep(0.6)
    view.follow()
    here = await stage.present()
    here.pop(stage.entity("watcher"))
    equal(view.statuses, here, "who is here by the diffs, and by presence.get")
    await stage.leave_but(watcher)

    async def left() -> Any:
        view.follow()
        return view.statuses

    await stage.eventually(left, {}, "who is here when all have gone", 15)


@scenario()
async def presence_events(stage: Stage) -> None:
    """Thirty agents, three sessions each: each comes once and goes once, when its last session is over."""
    watcher = await stage.honest("watcher")
    for channel in ("$presence", "$agents"):
        await watcher.call("channel.subscribe", channel=channel)
    agents = [await stage.lean(f"agent.{number}") for number in range(30) for _ in range(3)]
    stage.chance.shuffle(agents)
    await together(agent.close() for agent in agents)
    prefix = stage.entity("agent.")

    def told(kind: str) -> list[str]:
        mine = [event["data"] for event in watcher.inbox.of("event") if event["type"] == kind]
        return sorted(data["entity_id"] for data in mine if data["entity_id"].startswith(prefix))

    everyone = sorted(f"{prefix}{number}" for number in range(30))
    await until(lambda: len(told("agent.offline")) >= 30, "thirty agents are offline")
    for kind in ("presence.joined", "presence.left", "agent.online", "agent.offline"):
        equal(told(kind), everyone, f"who was told as {kind}")


@scenario()
async def many_of_one_entity(stage: Stage) -> None:
    """A hundred connections of one entity are one entity, whose publications each get, and whose mail the newest."""
    channel = stage.channel()
    agents = [await stage.lean("one") for _ in range(100)]
    for agent in agents:
        await agent.call("channel.subscribe", channel=channel)
    equal(await stage.present(), {stage.entity("one"): "online"}, "who is here")
    sender = await stage.honest("sender")
    published = await sender.call("channel.publish", channel=channel, message="all")
    equal(published["recipients"], 100, "recipients of a publication")
    await sender.call("agent.send", agent_id=stage.entity("one"), message="one")
    await agents[-1].inbox.wait("agent.message", 1)
    equal(sum(len(agent.inbox.of("agent.message")) for agent in agents), 1, "copies of a message")
    await agents[-1].close()
    await sender.call("agent.send", agent_id=stage.entity("one"), message="another one")
    await agents[-2].inbox.wait("agent.message", 1)
    await together(agent.close() for agent in agents[1:-1])
    equal((await stage.present()).get(stage.entity("one")), "online", "its status while one of its sessions is left")
    await agents[0].close()
    await stage.eventually(stage.present, {stage.entity("sender"): "online"}, "who is here when the last has gone", 3)


@scenario()
async def kept_places(stage: Stage) -> None:
    """Who is lost is away for as long as its place is kept, then gone; who says goodbye is gone at once."""
    lost = [await stage.honest(f"lost{number}") for number in range(10)]
    leaving = [await stage.honest(f"leaving{number}") for number in range(10)]
    for client in lost:
        client.drop()
    await together(client.close() for client in leaving)
    await asyncio.sleep(0.2)
    equal(await stage.present(), {stage.entity(f"lost{n}"): "away" for n in range(10)}, "who is here right after")
    back = await stage.honest("lost0")
    equal((await stage.present())[stage.entity("lost0")], "online", "the status of one that is back")
    await stage.eventually(stage.present, {stage.entity("lost0"): "online"}, "who is here when the window is over", 10)
    await back.close()
