"""Prompts on the real engine: a schema that is kept, a chain, a label that is followed."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest

from cluster.ids import new_id
from tests.fixtures.system import System

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"
SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}},
    "required": ["colour"],
    "additionalProperties": False,
}


def _push(system: System, folder: Path, name: str, body: dict[str, Any]) -> Any:
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps({"name": name, **body}))
    done = system.everloop("prompts", "push", str(path), "--json", "--label", "production")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["version"]


def _says(content: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


def test_a_chain_runs_on_the_engine_and_an_answer_follows_its_label(
    system: System, client: openai.OpenAI, tmp_path: Path
) -> None:
    mark = new_id("e2e")
    colour, chain = f"{mark}_colour", f"{mark}_chain"
    named = _says("Name the colour of {{ thing }}.", variables={"thing": {}}, output_schema=SCHEMA)
    _push(system, tmp_path, colour, named)
    direct = client.responses.create(
        model=MODEL,
        prompt={"id": colour, "variables": {"thing": "the sky"}},
        temperature=0,
        max_output_tokens=32,
    )
    assert json.loads(direct.output_text)["colour"] in {"red", "blue"}

    step = {"name": "found", "prompt": colour, "variables": {"thing": "{{ question }}"}}
    said = _says("Repeat: {{ found.colour }}", variables={"question": {}}, steps=[step])
    first = _push(system, tmp_path, chain, said)
    response, trace = _answer(client, chain)
    assert trace["prompt_version"] == first["id"]
    assert [step["name"] for step in trace["steps"]] == ["found"]
    assert json.loads(trace["step_outputs"]["found"])["colour"] in {"red", "blue"}
    spent = trace["steps"][0]["tokens"]["completion"]
    assert 0 < spent < response["usage"]["output_tokens"] <= spent + 8

    second = _push(system, tmp_path, chain, {**said, "stop": ["\n"]})
    assert _answer(client, chain)[1]["prompt_version"] == second["id"]
    assert system.everloop("prompts", "rollback", chain).returncode == 0
    assert _answer(client, chain)[1]["prompt_version"] == first["id"]


def _answer(client: openai.OpenAI, prompt: str) -> tuple[Any, Any]:
    """The response to a question by the prompt's label, and its trace."""
    raw = client.responses.with_raw_response.create(
        model=MODEL, prompt={"id": prompt}, input="blood", temperature=0, max_output_tokens=8
    )
    trace = client.get(f"/traces/{raw.headers['x-trace-id']}", cast_to=object)
    return json.loads(raw.text), trace
