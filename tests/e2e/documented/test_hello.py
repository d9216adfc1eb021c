"""The program that README.md begins with, run as it stands there."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

from tests.documents import README, blocks
from tests.e2e.processes import ADMIN_TOKEN, GatewayProcess, environment, run_to_end


def test_hello(gateway: GatewayProcess, tmp_path: Path) -> None:
    """The README's first program prints its own message, as the README shows it, and has an answer to all it asked."""
    (program,) = (program for program in blocks(README, "python") if "WebSocketGateway" not in program)
    program = program.replace("ws://localhost:18801", gateway.url) + "    print(json.dumps(answers))\n"
    outcome = run_to_end([sys.executable, "-c", program, ADMIN_TOKEN], environment(no_proxy="127.0.0.1"), tmp_path)
    assert outcome.status == 0, outcome.output
    message, answers = outcome.output.splitlines()
    (shown,) = re.findall(r"`(\{'channel': .*), \.\.\.\}`", README.text)
    assert message.startswith(f"{shown}, ")
    assert ast.literal_eval(message)["from"] == "admin"
    assert [answer["result"]["success"] for answer in json.loads(answers)] == [True] * 3
