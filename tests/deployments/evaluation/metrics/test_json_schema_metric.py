"""Answers that must be JSON of a schema."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from deployments import json_schemas
from tests.fixtures.answers import score, text_inputs

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z]+$"},
        "tags": {"type": "array", "items": {"type": "integer"}},
    },
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("reference", [SCHEMA, json.dumps(SCHEMA)])
@pytest.mark.parametrize(
    ("answer", "value", "path"),
    [
        ('{"name": "ab", "tags": [1, 2]}', 1.0, None),
        ('{"name": "ab", "tags": [1, "2"]}', 0.0, "$.tags[1]"),
        ('{"name": "AB"}', 0.0, "$.name"),
        ('{"tags": []}', 0.0, "$"),
        ('{"name": "ab", "more": 1}', 0.0, "$"),
        ('```json\n{"name": "ab"}\n```', 0.0, "$"),
        ("", 0.0, "$"),
        ('{"name": NaN}', 0.0, "$"),
        ("[" * 100_000, 0.0, "$"),
    ],
)
async def test_an_answer_is_held_against_its_schema(
    reference: Any, answer: str, value: float, path: str | None
) -> None:
    (found,) = await score("json_schema", text_inputs([answer], [reference]))
    assert found.value == value
    assert found.detail.get("path") == path


async def test_one_schema_may_serve_all_items() -> None:
    inputs = text_inputs(["3", '"x"'], [None, None])
    scores = await score("json_schema", inputs, schema={"type": "integer"})
    assert [one.value for one in scores] == [1.0, 0.0]


async def test_the_schema_names_its_draft() -> None:
    # A tuple's items are `items` up to draft 2019-09, and `prefixItems` from 2020-12.
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{"type": "string"}, {"type": "integer"}],
    }
    scores = await score("json_schema", text_inputs(['["a", 1]', "[1]"], [schema, schema]))
    assert [one.value for one in scores] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (None, "must be a JSON schema"),
        ([], "must be a JSON schema"),
        ("{", "is no JSON schema"),
        ({"type": "text"}, "No JSON schema, at $.type"),
        ({"$ref": "#/$defs/absent"}, "refers to"),
    ],
)
async def test_a_schema_that_is_none_is_told(schema: Any, reason: str) -> None:
    (found,) = await score("json_schema", text_inputs(["1"], [schema]))
    assert found.value is None
    assert reason in found.detail["reason"]


async def test_nothing_that_a_schema_names_is_fetched() -> None:
    asked: list[str] = []

    class Schemas(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"true")

    server = HTTPServer(("127.0.0.1", 0), Schemas)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        schema = {"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"}
        (found,) = await score("json_schema", text_inputs(["1"], [schema]))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert found.value is None
    assert asked == []


async def test_a_schemas_pattern_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schemas, "MATCH_SECONDS", 0.05)
    answer = json.dumps("a" * 60 + "!")
    (found,) = await score("json_schema", text_inputs([answer], [{"pattern": r"^(?:a|aa)+$"}]))
    assert found.value is None
    assert "took longer" in found.detail["reason"]
