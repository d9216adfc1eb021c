"""What a Dockerfile says, as far as the tests go by it."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from tests.e2e.processes import CHECKOUT

DOCKER = CHECKOUT / "deploy" / "docker"


class Instruction(NamedTuple):
    """A line of a Dockerfile, those that continue it included.

    @ivar stage: the number of the FROM that it stands below, from 0.
    """

    stage: int
    name: str
    rest: str


def instructions() -> list[Instruction]:
    """Those of the sample, in order."""
    text = re.sub(r"^ *#.*\n", "", (DOCKER / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = [line.split(maxsplit=1) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    found: list[Instruction] = []
    stage = -1
    for name, rest in lines:
        stage += name == "FROM"
        found.append(Instruction(stage, name, " ".join(rest.split())))
    return found


def only(name: str, stage: int = 1) -> str:
    """What the one instruction of that name says, in the image itself unless another stage is asked for."""
    (found,) = (line.rest for line in instructions() if (line.name, line.stage) == (name, stage))
    return found


def exec_form(rest: str) -> list[str]:
    """The words of a command that no shell sees.

    @raise ValueError: it is in another form.
    """
    words = json.loads(rest[rest.index("[") :])
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError(rest)
    return words


def included() -> list[str]:
    """What the build is sent of the checkout, by the list of what it is not."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    if rules[0] != "*":
        raise ValueError("all but what is named is left out")
    return [rule[1:] for rule in rules if rule.startswith("!")]


def excluded() -> list[str]:
    """The patterns of names that are left out again."""
    lines = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    return [line.removeprefix("**/") for line in lines if line.startswith("**/")]
