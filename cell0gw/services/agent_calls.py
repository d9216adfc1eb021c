"""What C{agent} has of calls: they are made, cancelled, and report progress."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Annotated

from msgspec import Meta, Raw

from cell0gw.agents.agents import Agents
from cell0gw.agents.calls.answers import CallCancelled
from cell0gw.agents.calls.call import call_request
from cell0gw.agents.calls.pools import Policy
from cell0gw.protocol.subjects import Name
from cell0gw.rpc.access import permission, session
from cell0gw.sessions.session import Caller

Milliseconds = Annotated[int, Meta(ge=1, le=86_400_000)]
Id = Annotated[str, Meta(min_length=1, max_length=200)]


class CallMethods:
    """Calls of agents, and of capabilities."""

    def __init__(self, agents: Agents) -> None:
        self._calls = agents.calls

    @permission(resource=("agent_id", "capability"))
    def rpc_call(
        self,
        caller: Caller,
        request_id: bytes,
        *,
        message: Raw,
        agent_id: Name | None = None,
        capability: Name | None = None,
        timeout_ms: Milliseconds = 60_000,
        idle_ms: Milliseconds | None = None,
        policy: Policy = "least_busy",
        key: Id | None = None,
        in_reply_to: Id | None = None,
    ) -> Awaitable[Raw]:
        """Call an agent, or an agent that serves a capability. The result is the agent's.

        Exactly one of `agent_id` and `capability` is given. Each call needs an `id` that no other running call of the
        session has: `agent.progress` and `agent.cancel` name it. A call sent as a notification is carried out, but
        brings no progress and can't be cancelled. docs/protocol.md#calls says who gets it, and what happens when an
        agent is lost.

        - `message`: what to do
        - `agent_id`: the agent
        - `capability`: or any agent that serves this capability
        - `timeout_ms`: maximum milliseconds of the whole call, at most a day
        - `idle_ms`: maximum milliseconds that the agent may be silent; null: unlimited
        - `policy`: which of several agents gets the call, see docs/protocol.md#who-is-asked
        - `key`: for `sticky` only: calls with the same key go to the same session
        - `in_reply_to`: as of `agent.send`
        - `result`: what the agent answered, as it wrote it
        - `not_found`: the agent does not exist, or no session has served the capability, as far as it is shown to the
          caller, see docs/protocol.md#sight; told at once. `data.near` has up to five similar names that the caller may
          call
        - `unavailable`: no session that could do it is connected, and none is kept that may come back: try again after
          `data.retry_after_ms`; or all who could do it rest, or have refused: `data.refusal` is what the last one said
        - `rate_limited`: 1,000 calls wait for the same agent or capability, 1,000 of the session run, or they hold
          16 MiB, or all 256 MiB; of what waits and of the 256 MiB an entity has a share, see docs/operations.md#shares
        - `timeout`: no answer in time, or no progress; `data.clock` is `timeout` or `idle`; `data.begun` says whether
          an agent has begun, or may have, and then `data.retryable` is false
        - `conflict`: a call of the session with this `id` is running
        - `agent_failed`: the agent `data.agent_id` answered with an error, which `data.agent_error` has: `code`,
          `message` (the first 500 characters) and `data` (null if it is too long); or it was lost after it had begun
        - `cancelled`: the call was cancelled
        - `too_large`: the message is longer than anything that is relayed, or the result than any answer; or nobody who
          could do it takes so long a call, see
          docs/protocol.md#messages-that-a-client-does-not-take
        - `loop`: the conversation `data.conversation_id` goes in circles, after `data.hops`; or all who could take the
          call wait for it, see docs/protocol.md#who-is-asked
        - `invalid_params`: both or none of `agent_id` and `capability`; `sticky` without `key`, or `key` without
          `sticky`; or `message` is no input of the capability, where the operator has that checked, see
          docs/protocol.md#described-capabilities
        """
        request = call_request(agent_id, capability, message, timeout_ms, idle_ms, policy, key, in_reply_to)
        return self._calls.call(caller, request_id, request)

    @session
    def rpc_cancel(self, caller: Caller, *, request_id: Raw) -> CallCancelled:
        """Cancel a call of this session, by the id of its request.

        The agent hears of it by `agent.cancelled`; whether it stops is up to the agent. The call itself is answered
        first, with the error -32009.

        - `request_id`: the `id` of the request, a string, a number or null, written as it was there
        - `not_found`: the session has no such call running; its answer may be on its way
        """
        assert caller.session is not None
        self._calls.cancel(caller.session, bytes(request_id))
        return CallCancelled()
