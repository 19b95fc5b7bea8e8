"""Schemas that would keep a validator busy, or make it fetch."""

from collections.abc import Mapping
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from deployments import json_schemas
from deployments.json_schemas import SchemaFault, bounded_validator

SLOW = "^(?:a|aa)+$"
VICTIM = "a" * 60 + "!"


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    validator = bounded_validator(schema, Draft202012Validator)
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": SLOW}, VICTIM),
        ({"patternProperties": {SLOW: False}}, {VICTIM: 1}),
        ({"patternProperties": {SLOW: True}, "additionalProperties": False}, {VICTIM: 1}),
        ({"propertyNames": {"pattern": SLOW}}, {VICTIM: 1}),
    ],
)
def test_a_pattern_that_backtracks_is_given_up(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], value: Any
) -> None:
    monkeypatch.setattr(json_schemas, "MATCH_SECONDS", 0.05)
    with pytest.raises(SchemaFault, match=r"took longer than 0\.05 s"):
        problems(schema, value)


@pytest.mark.parametrize("pattern", ["(", "*", "a" * 1001])
def test_what_is_no_pattern_is_said(pattern: str) -> None:
    with pytest.raises(SchemaFault, match="pattern"):
        problems({"pattern": pattern}, "text")


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^[a-z]+$"}, "words"),
        ({"pattern": "^[a-z]+$"}, "Words"),
        ({"patternProperties": {"^x": {"type": "integer"}}}, {"x1": "no", "y": "no"}),
        ({"patternProperties": {"^x": {}}, "additionalProperties": False}, {"x": 1, "y": 2}),
        ({"properties": {"a": {}}, "additionalProperties": {"type": "string"}}, {"a": 1, "b": 2}),
        ({"properties": {"a": {}}, "additionalProperties": True}, {"a": 1, "b": 2}),
        ({"additionalProperties": False}, []),
        ({"additionalProperties": False}, {}),
    ],
)
def test_it_finds_what_the_package_finds(schema: dict[str, Any], value: Any) -> None:
    theirs = list(Draft202012Validator(schema).iter_errors(value))
    assert len(problems(schema, value)) == len(theirs)


def test_a_schema_fetches_nothing() -> None:
    from referencing.exceptions import Unresolvable

    with pytest.raises(Unresolvable):
        problems({"$ref": "http://127.0.0.1:9/schema.json"}, {})


def test_keywords_whose_patterns_cannot_be_bounded_are_refused() -> None:
    schema = {"allOf": [{"patternProperties": {"a": {}}}], "unevaluatedProperties": False}
    with pytest.raises(SchemaFault, match="unevaluatedProperties"):
        problems(schema, {})
