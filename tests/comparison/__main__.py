"""Tell the same stories to the gateway and to NATS JetStream, and write what came of them into docs/comparison.md.

What is written by hand there stands outside of the markers. The exit status is 1 if something else has come of a story
than stood there.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.comparison import page
from tests.comparison.catalogue import STORIES
from tests.comparison.facts import BUILT, Told
from tests.comparison.gateway.side import GatewaySide
from tests.comparison.jetstream.side import JetStreamSide


def main() -> int:
    """The command.

    @return: its exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.comparison", description=__doc__)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="tell some, and only print what came")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        sides = [side(Path(folder)) for side in (GatewaySide, JetStreamSide)]
        try:
            outcomes = {}
            for number, story in enumerate(STORIES, 1):
                if options.only and number not in options.only:
                    continue
                told = []
                for side in sides:
                    story.tell(side, observed := Told())
                    observed.note(BUILT, *side.built)
                    side.built = {}
                    told.append(observed)
                    print(f"{number}. {story.title}: {side.name}", flush=True)
                outcomes[story.title] = told
            text = page.written(outcomes, [side.versions() for side in sides])
        finally:
            for side in sides:
                side.close()
    print(text)
    print(f"{len(outcomes)} stories in {time.monotonic() - began:.0f} s")
    if options.only:
        return 0
    if page.put(text):
        print(f"{page.PAGE} says something else now: look at the difference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
