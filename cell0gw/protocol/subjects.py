"""Names of channels and entities, and the patterns that cover them.

A name is 1 to 200 characters of ``A-Z a-z 0-9 _ - . :`` in segments split at ``.``. In a pattern a whole segment may be
``*`` (exactly one segment, any) and the last may be ``>`` (one segment or more). Names that begin with ``$`` are the
gateway's own; patterns that don't spell the ``$`` never reach them. No name begins with ``capability:``, which stands
before capabilities in permissions.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Final

from msgspec import Meta

CAPABILITY: Final = "capability:"
"""What stands before a capability where an agent may stand as well."""

MAX_LENGTH: Final = 200
"""Maximum characters of a name or a pattern."""

# `$(?!\n)` and not `\Z`: the same text is published as a JSON Schema, whose regular expressions know no `\Z`,
# and Python's own `$` would let a final newline pass.
_SEGMENT = "[A-Za-z0-9_:-]+"
_NAME = rf"(?!capability:){_SEGMENT}(\.{_SEGMENT})*"
_OWN = r"\$(agents|presence|system|channels)"
_PATTERN = rf"(?!capability:)({_SEGMENT}|\*)(\.({_SEGMENT}|\*))*(\.>)?|>"

Name = Annotated[str, Meta(min_length=1, max_length=MAX_LENGTH, pattern=rf"^{_NAME}$(?!\n)", title="name")]
"""A channel that clients write, or an entity."""

ChannelPattern = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_LENGTH, pattern=rf"^({_PATTERN}|{_OWN})$(?!\n)", title="name or pattern"),
]
"""Channels that clients read: a pattern of their own names, or one of the gateway's."""

Pattern = Annotated[
    str, Meta(min_length=1, max_length=MAX_LENGTH, pattern=rf"^({_PATTERN})$(?!\n)", title="name or pattern")
]
"""A name in which ``*`` and ``>`` may stand for others."""

_is_name = re.compile(rf"(?:{_NAME})\Z").match
_is_pattern = re.compile(rf"(?:{_PATTERN})\Z").match

OWN_CHANNELS: Final = frozenset({"$agents", "$presence", "$system", "$channels"})


def is_name(text: str) -> bool:
    """Whether this is a well-formed name without wildcards, not one of the gateway's own."""
    return len(text) <= MAX_LENGTH and _is_name(text) is not None


def is_pattern(text: str) -> bool:
    """Whether this is a well-formed pattern of names; every name is one too."""
    return len(text) <= MAX_LENGTH and _is_pattern(text) is not None


def has_wildcard(pattern: str) -> bool:
    """Whether a well-formed pattern may stand for other names than its own."""
    return "*" in pattern or pattern.endswith(">")


def beginning(pattern: str) -> str:
    """What every name that a pattern covers begins with: the segments before its first wildcard, with their dots.

    @param pattern: one with a wildcard.
    """
    end = pattern.find("*")
    return pattern[: end if end >= 0 else -1]


def is_own(name: str) -> bool:
    """Whether the name is one of the gateway's own, which begin with ``$``."""
    return name.startswith("$")


def covers(pattern: str, other: str) -> bool:
    """Whether every name that C{other} stands for is one that C{pattern} stands for.

    @param pattern: a pattern or a name.
    @param other: a pattern or a name; for a name this is plain matching.
    """
    if pattern == other:
        return True
    if is_own(pattern) or is_own(other):
        return False
    ours, theirs = pattern.split("."), other.split(".")
    for index, segment in enumerate(ours):
        if segment == ">":
            return len(theirs) > index
        if index >= len(theirs) or theirs[index] == ">":
            return False
        if segment != "*" and segment != theirs[index]:
            return False
    return len(ours) == len(theirs)


def covering(name: str) -> list[str]:
    """A name, and the patterns that cover it whose only wildcard is their last segment: one for each of its segments,
    and one more.
    """
    segments = name.split(".")
    heads = [".".join(segments[:length]) for length in range(1, len(segments))]
    return [name, ".".join([*segments[:-1], "*"]), ">", *(f"{head}.>" for head in heads)]


def matcher(pattern: str) -> Callable[[str], object]:
    """A quick L{covers} for many names: what says of a well-formed name, with something true, whether it is covered.

    @param pattern: well-formed, and not one of the gateway's own.
    """
    parts = [{"*": "[^.]+", ">": ".+"}.get(segment, segment) for segment in pattern.split(".")]
    return re.compile(r"\.".join(parts)).fullmatch


_SEGMENTS: Final = "segments of A-Z a-z 0-9 _ - : joined by '.'"
"""What names and patterns are made of, for people."""

_NO_CAPABILITY: Final = f"no name begins with {CAPABILITY}, which stands before capabilities in permissions"


def why_no_name(text: str) -> str:
    """Why a text is no L{Name}, for people."""
    if is_own(text):
        return "names that begin with $ belong to the gateway"
    if text.startswith(CAPABILITY):
        return _NO_CAPABILITY
    if is_pattern(text):
        return "one name is needed, not a pattern"
    return f"a name is {_SEGMENTS}"


def why_no_pattern(text: str) -> str:
    """Why a text is no L{Pattern}, for people."""
    if is_own(text):
        return "names that begin with $ belong to the gateway"
    if text.startswith(CAPABILITY):
        return _NO_CAPABILITY
    return f"a name is {_SEGMENTS}; in a pattern each may be *, and the last one >"
