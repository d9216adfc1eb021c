"""Inputs: whether the message of a call is one that those who serve the capability say they take."""

from __future__ import annotations

import itertools
from typing import Final

from cell0gw.agents.calls.call import CallRequest
from cell0gw.agents.calls.pools import Pool
from cell0gw.presence.directory import Directory
from cell0gw.presence.validators import Fault, Validators
from cell0gw.protocol.errors import InvalidParams
from cell0gw.protocol.limits import KIB

MAX_CHECKED: Final = 64 * KIB
"""Maximum bytes of a message that is checked; a longer one is passed on as it is: judging it would keep others waiting.
"""


class Inputs:
    """Checks the messages of calls by capability, if the operator wants it."""

    def __init__(self, directory: Directory, validators: Validators) -> None:
        self._directory = directory
        self._validators = validators

    def check(self, request: CallRequest, pool: Pool) -> None:
        """See that one of those who serve a capability takes a message, by what it says of its input.

        @param pool: those who serve it.
        @raise InvalidParams: none does; C{path} says where the first of them finds it wrong.
        """
        if not self._validators.on or request.capability is None or len(request.message) > MAX_CHECKED:
            return
        faults: dict[bytes, Fault] = {}
        for worker in itertools.chain(pool.workers, pool.absent):
            described = self._directory.said(worker.session).descriptions.get(request.capability)
            if described is None:
                return
            if described not in faults:
                fault = self._validators.fault(described, request.message)
                if fault is None:
                    return
                faults[described] = fault
        for fault in faults.values():
            path = f"params.message{fault.path}"
            raise InvalidParams(f"Invalid params: {path}: {fault.why}", path=path)
