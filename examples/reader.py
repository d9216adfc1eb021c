"""The shortest agent: it prints its mail.

    CELL0_TOKEN=cell0_... python reader.py ws://localhost:18801

Who writes is dispatcher.py, or anybody else by agent.send.
"""

from __future__ import annotations

from typing import Any

from agent import Agent
from program import command_line, run


class Reader(Agent):
    """Reads one message after the other."""

    async def on_online(self) -> None:
        """Say so."""
        print(f"online as {self.name}")

    async def on_message(self, params: dict[str, Any]) -> None:
        """Print mail."""
        print(f"mail from {params['from']}: {params['message']}")


if __name__ == "__main__":
    run(Reader(*command_line()).run())
