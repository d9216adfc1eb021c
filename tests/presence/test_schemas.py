"""Schemas that clients write: what is one, and what would take too long to judge by."""

from __future__ import annotations

import time
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from twisted.trial.unittest import SynchronousTestCase

from cell0gw.presence.schemas import DIALECT, MAX_DEPTH, MAX_JUDGED, MAX_PATTERN, SchemaCheck
from cell0gw.protocol.errors import InvalidParams

Json = Any

WRONG: dict[str, tuple[Json, ...]] = {
    "": (5, "x", [], None),
    ".type": ({"type": "strin"}, {"type": []}, {"type": ["string", "string"]}, {"type": None}),
    ".properties": ({"properties": []}, {"properties": None}),
    ".properties.a": ({"properties": {"a": 1}},),
    ".allOf": ({"allOf": []}, {"allOf": {}}),
    ".anyOf[1]": ({"anyOf": [{}, 1]},),
    ".not.minLength": ({"not": {"minLength": -1}}, {"not": {"minLength": 1.5}}, {"not": {"minLength": True}}),
    ".required": ({"required": "a"}, {"required": ["a", "a"]}, {"required": [1]}),
    ".multipleOf": ({"multipleOf": 0},),
    ".maximum": ({"maximum": "1"}, {"maximum": True}),
    ".enum": ({"enum": {}},),
    ".pattern": ({"pattern": 1},),
    ".uniqueItems": ({"uniqueItems": 1},),
    ".items": ({"items": [{}]},),
    ".$defs.a~/b": ({"$defs": {"a~/b": 1}},),
    ".dependentRequired": ({"dependentRequired": {"a": "b"}},),
}
"""What is no schema by JSON Schema's own words, by where it is wrong."""

UNWANTED: dict[str, tuple[Json, ...]] = {
    ".$ref": ({"$ref": "http://example.com/"}, {"$ref": "other.json#/a"}, {"$ref": "#/nothing"}, {"$ref": "#a"}),
    ".$schema": ({"$schema": "http://json-schema.org/draft-07/schema#"},),
    ".$dynamicRef": ({"$dynamicRef": "#a"},),
    ".not.$id": ({"not": {"$id": "http://example.com/"}},),
    ".items.pattern": ({"items": {"pattern": "a" * (MAX_PATTERN + 1)}},),
    ".patternProperties": ({"patternProperties": {"a" * (MAX_PATTERN + 1): {}}},),
}
"""What is one, and not taken."""

GOOD: tuple[Json, ...] = (
    True,
    False,
    {},
    {"$schema": DIALECT, "$id": "https://example.com/order", "type": ["object", "null"], "x-own": {"type": 5}},
    {"type": "object", "properties": {"value": {"type": "integer"}, "below": {"items": {"$ref": "#"}}}},
    {"$defs": {"a/b~c": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/a~1b~0c"}}},
    {"properties": {"a": {"$anchor": "here", "minimum": 0}, "b": {"$ref": "#here"}}},
    {"properties": {"a": {"$ref": "#"}}, "additionalProperties": {"$ref": "#"}},
    {"prefixItems": [{"$ref": "#"}, True], "items": {"$ref": "#"}},
    {"if": {"required": ["a"]}, "then": {"maxProperties": 3.0}, "else": False, "enum": list(range(100))},
    {"properties": {f"member{number}": {"type": "string", "maxLength": 5} for number in range(300)}},
    {"oneOf": [{"properties": {"kind": {"const": number}}} for number in range(50)]},
)
"""What is one, and is taken."""


class FormTests(SynchronousTestCase):
    """Whether something is a schema."""

    def fault(self, schema: Json) -> InvalidParams:
        return self.assertRaises(InvalidParams, SchemaCheck().check, schema, "params.x")

    def test_wrong(self) -> None:
        """What is none by the words of JSON Schema is refused, with the place."""
        for place, schemas in WRONG.items():
            for schema in schemas:
                self.assertRaises(SchemaError, Draft202012Validator.check_schema, schema)
                self.assertEqual(self.fault(schema).data["path"], f"params.x{place}", schema)

    def test_unwanted(self) -> None:
        """Nothing is fetched, no other dialect is spoken, and regular expressions are short."""
        for place, schemas in UNWANTED.items():
            for schema in schemas:
                self.assertEqual(self.fault(schema).data["path"], f"params.x{place}", schema)

    def test_good(self) -> None:
        """All else is taken: recursion, unions, own keywords."""
        for schema in GOOD:
            Draft202012Validator.check_schema(schema)
            SchemaCheck().check(schema, "params.x")


class CostTests(SynchronousTestCase):
    """Schemas that ask for a walk without an end."""

    def refused(self, schema: Json, why: str) -> None:
        started = time.process_time()
        refusal = self.assertRaises(InvalidParams, SchemaCheck().check, schema, "params.x")
        self.assertLess(time.process_time() - started, 1.0)
        self.assertIn(why, refusal.message)

    def test_round_and_round(self) -> None:
        """One that refers to itself for the same place of a value is refused."""
        for schema in (
            {"$ref": "#"},
            {"allOf": [{"$ref": "#"}]},
            {
                "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}},
                "items": {"$ref": "#/$defs/a"},
            },
        ):
            self.refused(schema, "refers to itself")

    def test_doubling(self) -> None:
        """One that doubles what judges a place is refused, be it at once or with each step into the value."""
        steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}, {"$ref": f"#/$defs/d{n + 1}"}]} for n in range(60)}
        for schema in (
            {"$defs": {**steps, "d60": {}}, "$ref": "#/$defs/d0"},
            {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}]},
            {"properties": {"a": {"$ref": "#"}}, "patternProperties": {"a": {"$ref": "#"}}},
            {"prefixItems": [{"$ref": "#"}], "contains": {"$ref": "#"}},
        ):
            self.refused(schema, f"more than {MAX_JUDGED}")

    def test_many_judges(self) -> None:
        """There are at most so many schemas, patterns and values for one place."""
        self.refused({"allOf": [{}] * MAX_JUDGED}, f"more than {MAX_JUDGED}")
        self.refused({"enum": list(range(16 * MAX_JUDGED))}, f"more than {MAX_JUDGED}")
        self.refused({"patternProperties": {f"a{n}": True for n in range(MAX_JUDGED)}}, f"more than {MAX_JUDGED}")

    def test_depth(self) -> None:
        """Schemas are within each other only so deep."""
        schema: Json = {}
        for _ in range(MAX_DEPTH + 1):
            schema = {"not": schema}
        self.refused(schema, f"at most {MAX_DEPTH}")

    def test_together(self) -> None:
        """All schemas of a request have so many steps together, however they are told apart."""
        check, schema = SchemaCheck(), {"properties": {f"a{n}": {"items": {"type": "string"}} for n in range(200)}}
        started = time.process_time()

        def go_on() -> None:
            for _ in range(10_000):
                check.check(schema, "params.x")

        self.assertIn("too much to check", self.assertRaises(InvalidParams, go_on).message)
        self.assertLess(time.process_time() - started, 1.0)
