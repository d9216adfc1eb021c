"""Refusals: why a worker does not take a call, and why nobody will."""

from __future__ import annotations

from typing import Final

from cell0gw.agents.calls.call import Call, CallRequest
from cell0gw.agents.calls.pools import Worker
from cell0gw.protocol import jsonrpc
from cell0gw.protocol.errors import RPCError, TooLarge, Unavailable

MAX_LOSSES: Final = 3
"""Maximum workers that are lost with a call before they have begun it. After that it does not wait for those that may
come back: it may be the call that ends them."""

RETRY_AFTER_MS: Final = 1000


def reads(worker: Worker) -> bool:
    """Whether a worker keeps up with what it is sent."""
    return not worker.session.connection.behind


def takes(worker: Worker, call: Call) -> bool:
    """Whether a call is no longer than the worker's client takes, as far as it says."""
    limit = worker.session.max_message_size
    return limit is None or len(jsonrpc.request("agent.invoke", call.invocation, call.call_id)) <= limit


def too_long(call: Call) -> RPCError | None:
    """Why a call can't be sent to any of those who are here for it; None: it can, or nobody is."""
    workers = call.pool.workers
    if not workers or any(takes(worker, call) for worker in workers):
        return None
    return TooLarge(f"The call is longer than {call.request.target} takes")


def why_nobody_can(call: Call) -> RPCError | None:
    """Why nobody will take a call, however long it waits; None: somebody may."""
    pool, target = call.pool, call.request.target
    if pool.wants(call.tried) or (pool.expects and call.losses < MAX_LOSSES):
        return None
    if any(worker in pool.workers for worker in call.tried):
        return Unavailable(
            f"Every worker for {target} has refused the call or accepts no calls now", refusal=call.refusal
        )
    if pool.workers or (pool.absent and not pool.expects):  # those that are absent accepted none
        return Unavailable(f"No worker for {target} accepts calls now")
    return no_worker(call.request)


def no_worker(request: CallRequest) -> Unavailable:
    """The error of a call that no connected worker can take, though one may come, or come back."""
    return Unavailable(f"No worker for {request.target} is connected now", retry_after_ms=RETRY_AFTER_MS)
