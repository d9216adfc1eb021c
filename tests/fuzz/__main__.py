"""Fuzz one target, guided by what it covers; or feed it given inputs.

A finding ends the run with status 77. The input that led to it is written down, and all that the same gateway was given
before it: feed them again with --inputs.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from twisted.logger import globalLogBeginner

NAMES = ("handshake", "frames", "dispatcher")
LONGEST = 16_384
WORK = Path(".cache/fuzz")
FINDING = 77


def main() -> int:
    """The command.

    @return: its exit status, if it does not end within the fuzzer.
    """
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("target", choices=NAMES)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000) + 1)
    options.add_argument("--inputs", type=Path, nargs="+", metavar="PATH", help="feed these files, or files of folders")
    options.add_argument(
        "--keep", action="store_true", help="add to the corpus the inputs that reach more than it does"
    )
    given = options.parse_args()
    if given.inputs:
        return feed(given.target, given.inputs)
    if given.keep:
        from tests.fuzz.keeping import keep

        print(f"{keep(given.target, WORK / given.target)} inputs are kept")
        return 0
    fuzz(given.target, given.minutes, given.seed)
    return 0


def feed(name: str, paths: list[Path]) -> int:
    """Feed inputs to one gateway, in their order."""
    from tests.fuzz.targets import Feeder, read_inputs

    feeder = Feeder(name)
    for path, data in read_inputs(paths).items():
        try:
            feeder(data)
        except Exception:
            traceback.print_exc()
            print(f"{path}: a finding, after {len(feeder.inputs) - 1} inputs")
            return FINDING
    print(f"{len(feeder.inputs)} inputs, no finding")
    return 0


def fuzz(name: str, minutes: float, seed: int) -> None:
    """Fuzz until time is up or something is found; does not return."""
    import atheris

    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False, discardBuffer=True)
    with atheris.instrument_imports(include=["cell0gw", *([] if name == "dispatcher" else ["autobahn"])]):
        from tests.fuzz.targets import CORPUS, TARGETS, Feeder
    feeder = Feeder(name)

    def one(data: bytes) -> None:
        try:
            feeder(data)
        except Exception:
            leave_behind(name, feeder.inputs)
            raise

    work = WORK / name
    work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    target: Any = TARGETS[name]
    for title, data in target.seeds.items():
        (folder / title).write_bytes(data)
    words = folder.with_suffix(".dict")
    words.write_text("".join(f'"{"".join(map(_escaped, word))}"\n' for word in target.words))
    print(f"{name}: {minutes:g} minutes, --seed {seed}, what is found goes to {WORK}", flush=True)
    flags = [f"-max_total_time={round(minutes * 60)}", f"-seed={seed}", f"-dict={words}", f"-max_len={LONGEST}",
             "-timeout=20", "-print_final_stats=1", f"-artifact_prefix={WORK}/{name}-"]  # fmt: skip
    atheris.Setup([sys.argv[0], *flags, str(work), str(CORPUS / name), str(folder)], one)
    atheris.Fuzz()


def _escaped(byte: int) -> str:
    return f"\\x{byte:02x}"


def leave_behind(name: str, inputs: list[bytes]) -> None:
    """Write down what the gateway was given that shows a finding."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=WORK))
    for number, data in enumerate(inputs):
        (folder / f"{number:04}").write_bytes(data)
    print(f"\nreplay: python -m tests.fuzz {name} --inputs {folder}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
