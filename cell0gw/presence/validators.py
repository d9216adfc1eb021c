"""Validators: whether a value is what a schema says, where an operator wants that to be checked.

It takes the package jsonschema-rs, which is there with the extra C{schemas}.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

import msgspec
from msgspec import Raw

from cell0gw.protocol.limits import KIB
from cell0gw.protocol.printable import printable

MAX_KEPT: Final = 256
"""Maximum validators that are kept for the next value."""

MAX_PROGRAM: Final = 64 * KIB
"""Maximum bytes that a regular expression takes once it is compiled."""

MAX_TOLD: Final = 300
"""Maximum characters of what is said of a value that is refused."""


class _Described(msgspec.Struct):
    input_schema: Any = True


_decode = msgspec.json.Decoder(_Described).decode


class Fault(msgspec.Struct, frozen=True):
    """Why a value is not what a schema says.

    @ivar path: where, C{.text[0]}; empty: all of it.
    """

    path: str
    why: str


class Validators:
    """Judges values by the schemas of descriptions.

    @param on: whether anything is judged.
    @raise ImportError: it is, and jsonschema-rs is not there.
    """

    def __init__(self, on: bool = False) -> None:
        self.on = on
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        if on:
            import jsonschema_rs  # which most do without

            self._rules = jsonschema_rs

    def why_not(self, schema: Any) -> str | None:
        """Why nothing can be judged by a schema; None: it can.

        @param schema: one that L{cell0gw.presence.schemas} takes.
        """
        if not self.on:
            return None
        try:
            self._compiled(schema)
        except ValueError as failure:
            return printable(str(failure).partition("\n")[0], MAX_TOLD)
        return None

    def fault(self, description: bytes, message: Raw) -> Fault | None:
        """Why a message is no input by a description; None: it is, or that is not said.

        @param description: of a capability, as JSON.
        """
        validator = self._kept.get(description)
        if validator is None:
            validator = self._kept[description] = self._compiled(_decode(description).input_schema)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(description)
        try:
            value = msgspec.json.decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Fault("", "it can't be judged")
        error = next(iter(validator.iter_errors(value)), None)
        if error is None:
            return None
        steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path)
        return Fault(printable("".join(steps), MAX_TOLD), printable(error.message, MAX_TOLD))

    def _compiled(self, schema: Any) -> Any:
        """
        @raise ValueError: it can't be compiled.
        """
        rules = self._rules
        limits = rules.RegexOptions(size_limit=MAX_PROGRAM)
        return rules.Draft202012Validator(
            schema, pattern_options=limits, offline=True, validate_formats=False, mask="it"
        )
