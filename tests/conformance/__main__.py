"""Run Autobahn's test cases against the gateway's protocol and transport.

Without compression those of groups 1 to 7, 9 and 10, with it those of 12 and 13, too; over plain sockets and TLS. Every
verdict must be OK or INFORMATIONAL, on the messages and on the close.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

from bench.certificate import make_certificate
from tests.conformance.cases import BASE, COMPRESSION, SOME_COMPRESSION, complaints, run
from tests.conformance.tunnel import tunnel
from tests.e2e.processes import CHECKOUT, Process, environment


class Setting(NamedTuple):
    """What the cases are sent over, and whether compression may be negotiated."""

    tls: bool
    compression: bool


SETTINGS: Final = {
    "plain": Setting(tls=False, compression=False),
    "tls": Setting(tls=True, compression=False),
    "plain-compressed": Setting(tls=False, compression=True),
    "tls-compressed": Setting(tls=True, compression=True),
}


async def conforms(name: str, cases: dict[str, int | None], folder: Path) -> bool:
    """Run cases in one setting and print what came of them.

    @param cases: their patterns, and how many there are of each; None: any number but none.
    @param folder: for the certificate.
    """
    setting, began = SETTINGS[name], time.monotonic()
    certificate = make_certificate(folder)
    flags = (["--tls", str(certificate)] if setting.tls else []) + ([] if setting.compression else ["--no-compression"])
    echo = Process([sys.executable, "-m", "tests.conformance.echo", *flags], environment(), CHECKOUT)
    try:
        port = int(echo.wait_for(r"listening on 127\.0\.0\.1 port (\d+)")[1])
        async with AsyncExitStack() as stack:
            if setting.tls:
                port = await stack.enter_async_context(tunnel(port, certificate))
            results = await run(port, cases)
        wrong = complaints(results)
        if None in cases.values():
            wrong += [] if results else ["there are no such cases"]
        elif len(results) != sum(cases.values()):
            wrong.append(f"{len(results)} cases were run in place of {sum(cases.values())}")
        wrong += [f"the service logged: {line}" for line in echo.lines if "Traceback" in line]
        if not echo.running:
            wrong.append("the service has ended")
    finally:
        echo.kill()
    verdicts = Counter(verdict.value for case in results for verdict in (case.behavior, case.behavior_close))
    print(f"{name}: {len(results)} cases in {time.monotonic() - began:.0f} s:", dict(verdicts), flush=True)
    for complaint in wrong:
        print(f"  {complaint}", flush=True)
    return not wrong


def selected(name: str, some: bool, patterns: list[str]) -> dict[str, int | None]:
    """The cases of a setting."""
    if patterns:
        return dict.fromkeys(patterns)
    compression = SOME_COMPRESSION if some else COMPRESSION
    return {**BASE, **(compression if SETTINGS[name].compression else {})}


async def main() -> int:
    """The command.

    @return: its exit status.
    """
    options = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    options.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="these settings")
    options.add_argument("--some", action="store_true", help="of compression the first four cases of each kind")
    options.add_argument("--cases", nargs="+", default=[], metavar="PATTERN", help="these cases, as in 9.* or 1.1.1")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        good = [await conforms(name, selected(name, given.some, given.cases), Path(folder)) for name in given.only]
    print("every case is OK or INFORMATIONAL" if all(good) else "NOT CONFORMING")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
