"""Kill -9 with a thousand messages in the mailbox and calls in flight: see tests/crash/mail.py."""

from __future__ import annotations

import random
from pathlib import Path

from tests.crash.mail import cycle


def test_mail_outlives_the_gateway(tmp_path: Path) -> None:
    """No message that was acknowledged is lost or there twice, order is kept, and callers are told."""
    for seed in range(3):
        done = cycle(tmp_path / str(seed), random.Random(seed))
        assert done["acknowledged"] > 0 and done["taken"] > 0
