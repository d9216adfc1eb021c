"""The program that README.md begins with, run as it stands there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.documents import README, blocks
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, environment, run_to_end


def test_hello(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The README's first program gets its own message, and then the answers to all that it asked."""
    (program,) = (program for program in blocks(README, "python") if "WebSocketGateway" not in program)
    program = program.replace("ws://localhost:18801", gateway.url)
    outcome = run_to_end([sys.executable, "-c", program, ADMIN_TOKEN], environment(no_proxy="127.0.0.1"), tmp_path)
    assert outcome.status == 0, outcome.output
    welcome, message, answers = map(json.loads, outcome.output.splitlines())
    assert (welcome["method"], message["params"]["message"]) == ("connection.welcome", "world")
    assert [answer["result"]["success"] for answer in answers] == [True] * 3
