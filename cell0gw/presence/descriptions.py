"""Descriptions: what an entity says of what it can do, beyond the name.

They are in no entry, since most who see an entity don't ask for them. Sessions of an entity that say the same share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from cell0gw.presence.schemas import SchemaCheck
from cell0gw.protocol.errors import InvalidParams, RateLimited, TooLarge
from cell0gw.protocol.limits import KIB, MAX_CAPABILITIES, MIB, in_share
from cell0gw.protocol.subjects import Name

MAX_DESCRIPTION: Final = 16 * KIB
"""Maximum bytes of JSON of a described capability."""

MAX_OF_ENTITY: Final = 1 * MIB
"""Maximum bytes of what all sessions of an entity describe; what several say counts once."""

MAX_SIZE: Final = 128 * MIB
"""The same for all entities together, of which each has a share."""

OVERHEAD: Final = 200
"""Approximate bytes that a description takes beside its text."""

Schema = Annotated[dict[str, Any] | bool, Meta(extra_json_schema={"type": ["object", "boolean"]})]
"""A JSON Schema."""


class Capability(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A capability, described: at most 16 KiB of JSON.

    - `name`: the capability
    - `description`: what it is, for people and for models
    - `input_schema`: what `message` of a call is, as a JSON Schema, see docs/protocol.md#described-capabilities
    - `output_schema`: what the result of a call is, in the same way
    - `tags`: words by which it may be sorted
    - `examples`: examples of `message`
    """

    name: Name
    description: str | None = None
    input_schema: Schema | None = None
    output_schema: Schema | None = None
    tags: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    examples: Annotated[tuple[Any, ...], Meta(max_length=100)] = ()


Capabilities = Annotated[tuple[Name | Capability, ...], Meta(max_length=MAX_CAPABILITIES)]
"""What a session declares."""

Descriptions = Mapping[str, bytes]
"""Described capabilities by name, as JSON."""

NO_DESCRIPTIONS: Final[Descriptions] = {}
"""Nothing is described."""


def declared(
    capabilities: Sequence[str | Capability], why_not: Callable[[Any], str | None] = lambda schema: None
) -> tuple[tuple[str, ...], Descriptions]:
    """The names of what is declared, and the descriptions.

    @param why_not: says why a schema of inputs is of no use, though it is one; None: it is.
    @raise TooLarge: a description is too long.
    @raise InvalidParams: a schema is none, or asks for too much; C{path} says where.
    """
    names: list[str] = []
    found: dict[str, bytes] = {}
    schemas = SchemaCheck()
    for place, each in enumerate(capabilities):
        if isinstance(each, str):
            names.append(each)
            continue
        names.append(each.name)
        path = f"params.capabilities[{place}]"
        written = msgspec.json.encode(each)
        if len(written) > MAX_DESCRIPTION:
            raise TooLarge(f"{path} has {len(written)} bytes of JSON, at most {MAX_DESCRIPTION} are taken", path=path)
        if each.name in found:
            raise InvalidParams(f"Invalid params: {path}.name: it is described twice", path=f"{path}.name")
        for name, schema in (("input_schema", each.input_schema), ("output_schema", each.output_schema)):
            if schema is not None:
                schemas.check(schema, f"{path}.{name}")
        if each.input_schema is not None and (why := why_not(each.input_schema)) is not None:
            where = f"{path}.input_schema"
            raise InvalidParams(f"Invalid params: {where}: {why}", path=where)
        found[each.name] = written
    return tuple(names), found


class _Held:
    """A text of an entity, and how many of its statements have it."""

    __slots__ = ("text", "uses")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.uses = 0


class DescriptionShares:
    """How much all entities describe, and each. A text that several sessions of an entity have is kept once.

    @ivar size: bytes of all.
    """

    def __init__(self) -> None:
        self.size = 0
        self._sizes: Counter[str] = Counter()
        self._texts: dict[str, dict[bytes, _Held]] = {}

    def check(self, entity_id: str, descriptions: Descriptions) -> None:
        """See that an entity may describe this as well.

        @raise TooLarge: it would be more than one entity may.
        @raise RateLimited: it would be more than it leaves to others.
        """
        if not descriptions:
            return
        there = self._texts.get(entity_id, {})
        more = sum(len(text) + OVERHEAD for text in {*descriptions.values()} if text not in there)
        own = self._sizes[entity_id]
        if own + more > MAX_OF_ENTITY:
            raise TooLarge(f"All sessions of {entity_id} together have {MAX_OF_ENTITY} bytes of descriptions at most")
        if not in_share(own, more, self.size, MAX_SIZE):
            raise RateLimited("The descriptions of capabilities take too much room", limit="descriptions")

    def keep(self, entity_id: str, descriptions: Descriptions) -> Descriptions:
        """Count what a statement of an entity describes.

        @return: the same, shared.
        """
        if not descriptions:
            return descriptions
        there = self._texts.setdefault(entity_id, {})
        shared = {}
        for name, text in descriptions.items():
            held = there.get(text)
            if held is None:
                held = there[text] = _Held(text)
                self._count(entity_id, len(text) + OVERHEAD)
            held.uses += 1
            shared[name] = held.text
        return shared

    def release(self, entity_id: str, descriptions: Descriptions) -> None:
        """Called when a statement of an entity no longer counts."""
        if not descriptions:
            return
        there = self._texts[entity_id]
        for text in descriptions.values():
            there[text].uses -= 1
            if not there[text].uses:
                del there[text]
                self._count(entity_id, -len(text) - OVERHEAD)
        if not there:
            del self._texts[entity_id]

    def _count(self, entity_id: str, size: int) -> None:
        self.size += size
        self._sizes[entity_id] += size
        if not self._sizes[entity_id]:
            del self._sizes[entity_id]
