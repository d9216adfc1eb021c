"""The router of calls beside a model of who has what."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.agents.calls.refusals import MAX_LOSSES
from cell0gw.testing import Client, MemoryGateway

SKILLS = ("x", "y")
WINDOW = 10
"""Seconds for which the place of an agent is kept whose connection broke."""

places = st.integers(0, 20)
skills = st.sets(st.sampled_from(SKILLS))


class Agent:
    """What the model knows of an agent's session.

    @ivar skills: what it declares; C{serves}: those of them that it may.
    @ivar has: the calls it was asked for and that are not over, by call id; C{begun}: those that it has begun.
    @ivar given_up: the ids of those that are over, and that it has not answered.
    @ivar refused: the callers' ids of the calls that it has refused.
    @ivar until: how long it is waited for, once its connection has broken.
    @ivar brought: how many calls it has that it had before it said how many it takes.
    """

    def __init__(self, client: Client, name: str, skills: set[str], most: int | None, acknowledges: bool) -> None:
        self.client = client
        self.token = self.secret = ""
        self.until = math.inf
        self.name = name
        self.skills = skills
        self.serves: set[str] = set()
        self.most = most
        self.acknowledges = acknowledges
        self.resting = False
        self.has: dict[str, int] = {}
        self.begun: set[str] = set()
        self.given_up: set[str] = set()
        self.refused: set[int] = set()
        self.seen = self.brought = 0

    @property
    def load(self) -> int:
        return len(self.has) + len(self.given_up)

    @property
    def full(self) -> bool:
        return self.most is not None and self.load >= self.most


class Asked:
    """A call that was made.

    @ivar until: by when there must be progress, as long as somebody has it.
    @ivar losses: how many agents were lost with it before they had begun.
    """

    def __init__(self, number: int, target: dict[str, str], deadline: float, idle: int | None, caller: Client) -> None:
        self.number = number
        self.target = target
        self.deadline = deadline
        self.idle = idle
        self.until = math.inf
        self.caller = caller
        self.may_end_with: set[Any] = set()
        self.must_end = False
        self.losses = 0


class RouterMachine(RuleBasedStateMachine):
    """A gateway, two callers, and agents that come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = MemoryGateway(resume_window=float(WINDOW))
        self.callers = [self.gateway.connect(f"caller{n}") for n in range(2)]
        self.agents: list[Agent] = []
        self.absent: list[Agent] = []
        self.known: set[str] = set()
        self.calls: dict[int, Asked] = {}
        self.made: set[int] = set()
        self.numbers = 100
        self.come({"x"}, 1, True, True)
        self.come({"x", "y"}, 1, False, True)

    @property
    def now(self) -> float:
        return float(self.gateway.clock.seconds())

    def teardown(self) -> None:
        # At the end everyone leaves: whatever is open is told, and nothing is left.
        for agent in list(self.agents):
            self.leave(agent, goodbye=True)
            self.look()
        self.wait(WINDOW + 1)
        assert not self.calls, self.calls
        calls = self.gateway.agents.calls
        assert (len(calls), calls.waiting) == (0, 0)
        assert calls.made == calls.answered + calls.failed
        assert not [c for c in self.gateway.clock.getDelayedCalls() if "patience" in repr(c.func)]
        assert not any(self.gateway.agents.workers.of_capability(skill) for skill in SKILLS)
        self.gateway.close()

    def could(self, asked: Asked, among: list[Agent]) -> list[Agent]:
        """Who serves what was asked for."""
        target = asked.target
        return [a for a in among if a.name == target.get("agent_id") or target.get("capability") in a.serves]

    def hopeless(self, asked: Asked) -> set[int]:
        """What a call ends with because nobody will take it; nothing, if somebody may, now or when it comes back."""
        if any(not a.resting and asked.number not in a.refused for a in self.could(asked, self.agents)):
            return set()
        if asked.losses < MAX_LOSSES and any(not a.resting for a in self.could(asked, self.absent)):
            return set()
        return {-32000} if self.known & {*asked.target.values()} else {-32006}

    @rule(skills=skills, most=st.sampled_from([None, 1, 2]), acknowledges=st.booleans(), permitted=st.booleans())
    def comes(self, skills: set[str], most: int | None, acknowledges: bool, permitted: bool) -> None:
        self.come(skills, most, acknowledges, permitted)

    def come(self, skills: set[str], most: int | None, acknowledges: bool, permitted: bool) -> None:
        if len(self.agents) == 4:
            return
        self.numbers += 1
        name = f"agent{self.numbers % 3}"  # some have several sessions
        agent = Agent(self.gateway.connect(), name, skills, most, acknowledges)
        agent.token = self.token(name, permitted)
        agent.serves = skills if permitted else set()
        self.authenticate(agent, capabilities=[*skills, *(["ack"] if acknowledges else [])], max_inflight=most)

    def authenticate(self, agent: Agent, **declared: Any) -> None:
        opened = agent.client.call("auth.authenticate", token=agent.token, **declared)
        agent.secret = opened["resume_token"]
        self.known |= {agent.name, *agent.serves}
        self.agents.append(agent)

    @precondition(lambda self: self.absent)
    @rule(place=places)
    def comes_back(self, place: int) -> None:
        """Who was lost takes up its place, and what it had said: its skills, how many it takes, that it rests."""
        old = self.absent[place % len(self.absent)]
        new = Agent(self.gateway.connect(), old.name, set(), None, False)
        new.token, new.serves = old.token, set()
        self.authenticate(new)
        self.look()
        new.skills, new.serves, new.most, new.resting = old.skills, old.serves, old.most, old.resting
        new.acknowledges, new.brought = old.acknowledges, new.load
        assert new.client.call("session.resume", resume_token=old.secret)["resumed"]
        self.absent.remove(old)

    def token(self, name: str, permitted: bool) -> str:
        """One that lets its bearer serve what it can, or nothing."""
        return self.gateway.token(name, permissions=["agent.*"] if permitted else ["session.*"])

    @precondition(lambda self: self.agents)
    @rule(place=places)
    def another_token(self, place: int) -> None:
        """Who may serve what it can may no longer, or the other way round."""
        agent = self.agents[place % len(self.agents)]
        permitted = not agent.serves
        agent.serves = agent.skills if permitted else set()
        agent.token = self.token(agent.name, permitted)
        agent.secret = agent.client.call("auth.refresh", token=agent.token)["resume_token"]
        self.known |= agent.serves

    @rule(
        who=st.integers(0, 1),
        skill=st.sampled_from(SKILLS),
        by_name=st.booleans(),
        policy=st.sampled_from(["least_busy", "round_robin", "random", "sticky"]),
        seconds=st.sampled_from([3, 100]),
        idle=st.sampled_from([None, 2]),
    )
    def call(self, who: int, skill: str, by_name: bool, policy: str, seconds: int, idle: int | None) -> None:
        self.numbers += 1
        target = {"agent_id": f"agent{self.numbers % 3}"} if by_name else {"capability": skill}
        params: dict[str, Any] = {**target, "message": self.numbers, "policy": policy, "timeout_ms": seconds * 1000}
        if policy == "sticky":
            params["key"] = skill
        if idle is not None:
            params["idle_ms"] = idle * 1000
        asked = Asked(self.numbers, target, self.now + seconds, idle, self.callers[who])
        self.calls[self.numbers] = asked
        self.made.add(self.numbers)
        request = {"jsonrpc": "2.0", "id": self.numbers, "method": "agent.call", "params": params}
        self.callers[who].send(json.dumps(request))

    def busy(self, place: int) -> tuple[Agent, str] | None:
        """An agent, and a call that it has."""
        having = [(agent, call_id) for agent in self.agents for call_id in agent.has]
        return having[place % len(having)] if having else None

    @rule(place=places)
    def answer(self, place: int) -> None:
        found = self.busy(place)
        if found is not None:
            agent, call_id = found
            number = agent.has.pop(call_id)
            self.calls[number].may_end_with = {f"done {number}"}
            self.calls[number].must_end = True
            agent.client.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "result": f"done {number}"}))

    @rule(place=places, code=st.sampled_from([-32000, -32003, -32601, 5]))
    def refuse(self, place: int, code: int) -> None:
        found = self.busy(place)
        if found is not None:
            agent, call_id = found
            number = agent.has.pop(call_id)
            if code == 5 or call_id in agent.begun:
                self.calls[number].may_end_with = {-32008}
                self.calls[number].must_end = True
            else:
                agent.refused.add(number)
                self.calls[number].until = math.inf
            error = {"code": code, "message": "no"}
            agent.client.send(json.dumps({"jsonrpc": "2.0", "id": call_id, "error": error}))

    @precondition(lambda self: any(agent.given_up for agent in self.agents))
    @rule(place=places, body=st.sampled_from([{"result": 1}, {"error": {"code": -32000}}, {}]))
    def answer_late(self, place: int, body: dict[str, Any]) -> None:
        """Somebody has done with what nobody waits for, or says so in the wrong way: it has room again."""
        late = [(agent, call_id) for agent in self.agents for call_id in sorted(agent.given_up)]
        agent, call_id = late[place % len(late)]
        agent.given_up.remove(call_id)
        agent.client.send(json.dumps({"jsonrpc": "2.0", "id": call_id, **body}))

    @rule(place=places, progress=st.booleans())
    def begin(self, place: int, progress: bool) -> None:
        found = self.busy(place)
        if found is not None:
            agent, call_id = found
            agent.begun.add(call_id)
            asked = self.calls[agent.has[call_id]]
            asked.until = math.inf if asked.idle is None else self.now + asked.idle
            if progress:
                assert agent.client.call("agent.progress", call_id=call_id, data=[call_id])["success"]
                (shown,) = asked.caller.received("agent.progress")
                assert shown.pop("sequence") > 0
                assert shown == {"request_id": asked.number, "call_id": call_id, "data": [call_id]}
            else:
                agent.client.call("agent.ack", message_id=call_id, status="started")

    @rule(place=places, who=places)
    def meddle(self, place: int, who: int) -> None:
        """Somebody has to do with a call that it does not have: nothing comes of it."""
        found = self.busy(place)
        others = [agent for agent in self.agents if found is None or agent is not found[0]]
        if found is not None and others:
            other, call_id = others[who % len(others)], found[1]
            assert not other.client.call("agent.progress", call_id=call_id, data=1)["success"]
            for body in ({"result": 1}, {"error": {"code": -32000}}):
                assert other.client.send(json.dumps({"jsonrpc": "2.0", "id": call_id, **body})) == []

    @precondition(lambda self: self.agents)
    @rule(place=places)
    def rest(self, place: int) -> None:
        """Who is awake comes to rest, or the other way round."""
        agent = self.agents[place % len(self.agents)]
        agent.resting = not agent.resting
        agent.client.call("presence.update", status="do_not_disturb" if agent.resting else "online")

    @precondition(lambda self: self.agents)
    @rule(place=places, goodbye=st.booleans())
    def go(self, place: int, goodbye: bool) -> None:
        self.leave(self.agents[place % len(self.agents)], goodbye)

    def leave(self, agent: Agent, goodbye: bool) -> None:
        self.agents.remove(agent)
        for call_id, number in agent.has.items():
            begun = call_id in agent.begun or not agent.acknowledges
            self.calls[number].may_end_with = {-32008} if begun else set()
            self.calls[number].must_end = begun
            if not begun:
                self.calls[number].losses += 1
                self.calls[number].until = math.inf
        if goodbye:
            agent.client.disconnect()
            return
        agent.until = self.now + WINDOW
        self.absent.append(agent)
        agent.client.vanish()

    @rule(place=places)
    def cancel(self, place: int) -> None:
        if self.calls:
            number = sorted(self.calls)[place % len(self.calls)]
            asked = self.calls[number]
            asked.may_end_with = {-32009}
            asked.caller.call("agent.cancel", request_id=number)
            self.forget(number)

    @rule(who=st.integers(0, 1))
    def caller_goes(self, who: int) -> None:
        gone = self.callers[who]
        self.callers[who] = self.gateway.connect(f"caller{who}")
        gone.vanish()
        for number in [number for number, asked in self.calls.items() if asked.caller is gone]:
            del self.calls[number]
            self.forget(number)

    @rule(seconds=st.sampled_from([1, 5]))
    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.gateway.advance(1)
            for asked in self.calls.values():
                if min(asked.deadline, asked.until) <= self.now:
                    asked.may_end_with = {-32004}
                    if any(agent.until <= self.now for agent in self.absent):
                        asked.may_end_with.add(-32000)  # nobody came back in that very moment
                    self.forget(asked.number)
            self.absent = [agent for agent in self.absent if agent.until > self.now]
            self.look()

    def forget(self, number: int) -> None:
        """Nobody has that call any more; who had it may still be at it."""
        for agent in self.agents:
            agent.given_up |= {call_id for call_id, one in agent.has.items() if one == number}
            agent.has = {call_id: one for call_id, one in agent.has.items() if one != number}
        if number in self.calls:
            self.calls[number].until = math.inf

    def look(self) -> None:
        """Read what has come: who was asked for what, and what ended."""
        for caller in self.callers:
            caller.flush()
            for message in [m for m in caller.messages if isinstance(m, dict) and m.get("id", 0) in self.made]:
                number = message["id"]
                assert number in self.calls, "answered twice"
                asked = self.calls.pop(number)
                end = message["result"] if "result" in message else message["error"]["code"]
                may = asked.may_end_with or self.hopeless(asked)
                assert end in may, (end, may)
                self.forget(number)
            caller.messages.clear()
        for agent in self.agents:
            asked_for = agent.client.received("agent.invoke")
            for invoked in asked_for[agent.seen :]:
                number = invoked["message"]
                assert number not in agent.refused, "asked again for what it has refused"
                if number in self.calls:
                    assert not self.calls[number].must_end, "what another one has begun"
                    assert agent in self.could(self.calls[number], self.agents), "asked for what it does not serve"
                    self.forget(number)
                    agent.has[invoked["call_id"]] = number
                    asked = self.calls[number]
                    asked.may_end_with = set()
                    asked.until = math.inf if asked.idle is None else self.now + asked.idle
            agent.seen = len(asked_for)

    @invariant()
    def as_in_the_model(self) -> None:
        self.look()
        waiting = set(self.calls) - {number for agent in self.agents for number in agent.has.values()}
        for agent in self.agents:
            agent.brought = min(agent.brought, agent.load)
            assert agent.most is None or agent.load <= max(agent.most, agent.brought), "more than it takes"
            session = agent.client.server.session
            assert session is not None
            worker = self.gateway.agents.workers._workers[session]
            assert (set(worker.calls), set(worker.given_up)) == (set(agent.has), agent.given_up)
            for number in waiting:
                able = agent in self.could(self.calls[number], self.agents) and number not in agent.refused
                assert not able or agent.full or agent.resting, "one waits that this one could take"
        for number in waiting:
            assert not self.hopeless(self.calls[number]), "one waits that nobody will take"
        assert len(self.gateway.agents.calls) == len(self.calls)
        assert self.gateway.agents.calls.waiting == len(waiting)


class RouterModelTests(SynchronousTestCase):
    """See L{RouterMachine}."""

    def test_model(self) -> None:
        """Whatever happens, every call has one who can do it, waits while all are busy, or ends once and rightly."""
        run_state_machine_as_test(
            RouterMachine,
            settings=settings(
                max_examples=120, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
            ),
        )
