"""twistd in a process that is killed, once a file says so, between a commit and the answer."""

import os
import signal
from pathlib import Path
from typing import Any

from cell0gw.engines.sqlite import database as sqlite

deliver = sqlite.deliver


def deliver_or_die(outcomes: Any) -> None:
    if Path("die").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    deliver(outcomes)


sqlite.deliver = deliver_or_die

from twisted.scripts.twistd import run  # noqa: E402

run()
