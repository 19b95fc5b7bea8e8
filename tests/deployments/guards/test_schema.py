"""Which schema an answer must be of."""

from typing import Any

import pytest

from deployments.guards.checks.schema import demanded_schema

SCHEMA = {"type": "object", "required": ["city"]}


@pytest.mark.parametrize(
    ("response_format", "demanded"),
    [
        ({"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}, SCHEMA),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "text"}, None),
        (None, None),
        (["json_schema"], None),
        ({"type": "json_schema"}, True),
        ({"type": "json_schema", "json_schema": ["x"]}, True),
        ({"type": "json_schema", "json_schema": "x"}, True),
        ({"type": "json_schema", "json_schema": {"schema": "x"}}, True),
    ],
)
def test_what_is_malformed_is_left_to_the_model(response_format: Any, demanded: Any) -> None:
    assert demanded_schema(response_format) == demanded
