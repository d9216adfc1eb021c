"""Calls: each has one answer, whoever dies, dawdles or changes its mind."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.crash.wire import Refused
from tests.stress.checks import equal, until, within
from tests.stress.clients import Honest
from tests.stress.raw import request
from tests.stress.stage import Stage, scenario, together


async def outcome(client: Any, **params: Any) -> Any:
    """What comes of a call: the result, or the number of the error."""
    try:
        return await client.call("agent.call", **params)
    except Refused as refused:
        return refused.number


async def workers(stage: Stage, count: int, capability: str, **more: Any) -> list[Honest]:
    """Workers that answer with their own name, at once."""
    made = []
    for number in range(count):
        worker = await stage.honest(f"worker{number}", capabilities=[capability, "ack"], **more)
        worker.invoked = lambda params, name=number: {"worker": name, "got": params["message"]}
        made.append(worker)
    return made


@scenario()
async def call_spread(stage: Stage) -> None:
    """Two hundred and forty calls to four workers: each answered once, with its own answer, and spread evenly."""
    capability = stage.entity("spread")
    await workers(stage, 4, capability)
    callers = [await stage.honest(f"caller{number}") for number in range(4)]
    for policy in ("least_busy", "round_robin", "random"):
        params = {"capability": capability, "policy": policy}
        answers = await together(outcome(callers[number % 4], message=number, **params) for number in range(240))
        equal([answer["got"] for answer in answers], list(range(240)), "which call was answered by what")
        done = Counter(answer["worker"] for answer in answers)
        for worker in range(4):
            within(done[worker], *((20, 120) if policy == "random" else (50, 70)), f"calls of one worker by {policy}")
    sticky = await together(
        outcome(callers[0], capability=capability, message=0, policy="sticky", key="k") for _ in range(40)
    )
    equal(len({answer["worker"] for answer in sticky}), 1, "workers of one key")


@scenario()
async def call_queue(stage: Stage) -> None:
    """Workers that take two at once never have three; what waits is done in its order."""
    capability = stage.entity("queue")
    running: Counter[int] = Counter()
    most: Counter[int] = Counter()
    order: list[int] = []
    made = await workers(stage, 3, capability, max_inflight=2)

    async def work(worker: Honest, number: int, params: Any) -> None:
        await asyncio.sleep(0.01)
        running[number] -= 1
        worker.answer(params["call_id"], params["message"])

    def taker(worker: Honest, number: int) -> Any:
        def take(method: str, params: Any, answer: Any) -> None:
            worker.inbox.append((method, params))
            if method == "agent.invoke":
                order.append(params["message"])
                running[number] += 1
                most[number] = max(most[number], running[number])
                worker.tasks.append(asyncio.ensure_future(work(worker, number, params)))  # type: ignore[attr-defined]

        return take

    for number, worker in enumerate(made):
        worker.tasks = []  # type: ignore[attr-defined]
        worker._take = taker(worker, number)  # type: ignore[method-assign]
    caller = await stage.honest("caller")
    answers = await together(outcome(caller, capability=capability, message=number) for number in range(120))
    equal(answers, list(range(120)), "answers")
    equal(dict(most), {0: 2, 1: 2, 2: 2}, "calls that each had at once, at most")
    late = [number - place for place, number in enumerate(order) if abs(number - place) > 6]
    equal(late, [], "calls that were taken up far from their turn")


@scenario()
async def killed_worker(stage: Stage) -> None:
    """When a worker dies, what it had begun is -32008, what it had not begun is done by another."""
    capability = stage.entity("killed")
    doomed = await stage.honest("doomed", capabilities=[capability, "ack"])
    caller = await stage.honest("caller")
    begun = [asyncio.create_task(outcome(caller, capability=capability, message=n)) for n in range(20)]
    invocations = await doomed.inbox.wait("agent.invoke", 20)
    for params in invocations[:8]:
        await doomed.call("agent.ack", message_id=params["call_id"], status="started")
    for params in invocations[8:10]:
        await doomed.notify("agent.progress", call_id=params["call_id"], data="some")
    await caller.inbox.wait("agent.progress", 2)
    await workers(stage, 1, capability)
    doomed.drop()
    results = await asyncio.gather(*begun)
    equal(results[:10], [-32008] * 10, "what comes of calls that were begun")
    equal(results[10:], [{"worker": 0, "got": n} for n in range(10, 20)], "what comes of those that were not")
    silent = await stage.honest("silent", capabilities=[stage.entity("only")])
    call = asyncio.create_task(outcome(caller, capability=stage.entity("only"), message=1))
    await silent.inbox.wait("agent.invoke", 1)
    silent.drop()
    equal(await call, -32008, "what comes of a call of who does not acknowledge")
    waiting = await outcome(caller, capability=stage.entity("only"), message=1, timeout_ms=300)
    equal(waiting, -32004, "a call to who is gone, and may come back")
    equal(await outcome(caller, capability=stage.entity("none"), message=1), -32006, "a call to who never was")


@scenario()
async def call_endings(stage: Stage) -> None:
    """Cancelled, too late, silent for too long: each is told to both sides, once; late answers are counted."""
    capability = stage.entity("slow")
    worker = await stage.honest("worker", capabilities=[capability, "ack"])
    caller = await stage.member("caller")
    before = await stage.stats("agent")
    params = {"capability": capability, "message": 1}
    texts = [request("agent.call", f"cancel{n}", **params) for n in range(10)]
    texts += [request("agent.call", f"late{n}", timeout_ms=300, **params) for n in range(10)]
    texts += [request("agent.call", f"idle{n}", idle_ms=400, **params) for n in range(10)]
    await caller.tell(*texts)
    await worker.inbox.wait("agent.invoke", 30)
    await caller.tell(*[request("agent.cancel", f"c{n}", request_id=f"cancel{n}") for n in range(10)])
    answers: dict[str, Any] = {}
    while len(answers) < 40:
        came = await caller.frame()
        assert came is not None
        if b'"id"' in came.payload:
            said = came.message
            equal(said["id"] in answers, False, f"whether {said['id']} was answered already")
            answers[said["id"]] = said
    for number in range(10):
        equal(answers[f"cancel{number}"]["error"]["code"], -32009, "a call that was cancelled")
        equal(answers[f"c{number}"]["result"], {"success": True}, "the cancelling")
        for kind, clock in (("late", "timeout"), ("idle", "idle")):
            error = answers[f"{kind}{number}"]["error"]
            equal((error["code"], error["data"]["clock"]), (-32004, clock), "a call that took too long")
    told = Counter(params["reason"] for params in await worker.inbox.wait("agent.cancelled", 30))
    equal(told, Counter(cancelled=10, timeout=10, idle=10), "what the worker was told")
    for params in worker.inbox.of("agent.invoke"):
        worker.answer(params["call_id"], "late")
    await asyncio.sleep(0.2)
    await worker.call("rpc.ping")
    after = await stage.stats("agent")
    within(after["answers_late"] - before["answers_late"], 30, 40, "answers that came too late")
    equal([came async for came in caller.frames(0.3) if b'"id"' in came.payload], [], "more answers to the caller")


@scenario()
async def disconnect_during_call(stage: Stage) -> None:
    """Callers that vanish: their calls are cancelled with their workers, and no call is left."""
    capability = stage.entity("vanish")
    worker = await stage.honest("worker", capabilities=[capability, "ack"])
    callers = await stage.crowd(30, "caller")
    for number, caller in enumerate(callers):
        caller.send(lambda answer: None, "agent.call", capability=capability, message=number)
    await worker.inbox.wait("agent.invoke", 30)
    for number, caller in enumerate(callers):
        caller.reset() if number % 2 else caller.drop()
    told = await worker.inbox.wait("agent.cancelled", 30)
    equal({params["reason"] for params in told}, {"caller_gone"}, "why the calls were cancelled")
    await stage.eventually(lambda: calls_left(stage), 0, "calls that run", 5)


async def calls_left(stage: Stage) -> int:
    """How many calls run."""
    return (await stage.stats("agent"))["calls_inflight"]


@scenario()
async def call_flood_unread(stage: Stage) -> None:
    """Who makes thousands of calls and reads no answer has a thousand of them running at most, and costs little."""
    capability = stage.entity("flood")
    taken = await stage.honest("worker", capabilities=[capability, "ack"])
    before = stage.gateway.resident
    caller = await stage.member("flooder", receive_buffer=2048)
    for start in range(0, 1800, 300):
        sending = caller.tell(
            *[request("agent.call", n, capability=capability, message="x" * 200) for n in range(start, start + 300)]
        )
        try:
            async with asyncio.timeout(1):
                await sending
        except TimeoutError:
            break
        await asyncio.sleep(0.25)
    await asyncio.sleep(0.3)
    within(len(taken.inbox.of("agent.invoke")), 1, 1000, "calls that were given to a worker")
    within(await calls_left(stage), 1, 1000, "calls that run")
    within((stage.gateway.resident - before) / 1048576, -1000, 16, "memory that it cost, in MiB")
    caller.reset()
    await stage.eventually(lambda: calls_left(stage), 0, "calls that run when it is gone", 5)
    await until(lambda: len(taken.inbox.of("agent.cancelled")) == len(taken.inbox.of("agent.invoke")), "all cancelled")


@scenario()
async def calls_to_the_dying(stage: Stage) -> None:
    """Workers that come and go all the time: each of four hundred calls has exactly one end, and none hangs."""
    capability = stage.entity("dying")
    caller = await stage.honest("caller")
    going = True

    async def live(number: int) -> None:
        while going:
            worker = await stage.lean(f"w{number}", capabilities=[capability, "ack"])
            worker.invoked = lambda params: params["message"]
            await asyncio.sleep(stage.chance.random() * 0.1)
            worker.reset() if stage.chance.random() < 0.5 else worker.drop()

    lives = [asyncio.create_task(live(number)) for number in range(6)]
    ends: Counter[str] = Counter()
    for start in range(0, 400, 20):
        calls = [outcome(caller, capability=capability, message=n, timeout_ms=5000) for n in range(start, start + 20)]
        for number, result in enumerate(await together(calls)):
            if result in (-32000, -32004, -32006, -32008):
                ends[str(result)] += 1
            else:
                equal(result, start + number, "the answer to a call")
                ends["answered"] += 1
        await asyncio.sleep(0.02)
    going = False
    await asyncio.gather(*lives)
    equal(ends.total(), 400, f"ends of four hundred calls: {dict(ends)}")
    within(ends["answered"], 40, 400, "calls that were answered")
    equal(ends["-32004"], 0, "calls that hung until their time was over")
