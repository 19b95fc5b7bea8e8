"""The prompt registry over HTTP, on SQLite and on PostgreSQL."""

import asyncio
import json
from typing import Any

import httpx2
import pytest

from deployments.gateway.services import Services
from tests.deployments.gateway.prompted import over_stage
from tests.deployments.grounding.conftest import Stage, counter, stage
from tests.deployments.prompts.making import user_says

__all__ = ["counter", "stage"]

PROMPTS = "/v1/prompts"
HELLO = user_says("Hello {{ name }}.", variables={"name": {"type": "string"}})


async def _ok(http: httpx2.AsyncClient, method: str, path: str, body: Any = None) -> Any:
    answered = await http.request(method, path, json=body)
    assert answered.status_code == 200, answered.text
    return answered.json()


async def _error(
    http: httpx2.AsyncClient, method: str, path: str, body: Any = None
) -> tuple[int, str | None, str]:
    answered = await http.request(method, path, json=body)
    error = answered.json()["error"]
    return answered.status_code, error["param"], error["message"]


async def _create(http: httpx2.AsyncClient, name: str = "greeting", **version: Any) -> Any:
    body = {"name": name, "version": {**HELLO, **version}}
    return await _ok(http, "POST", PROMPTS, body)


async def _version(http: httpx2.AsyncClient, content: str, **more: Any) -> Any:
    return await _ok(http, "POST", f"{PROMPTS}/greeting/versions", {**user_says(content), **more})


async def test_a_prompt_is_made_listed_changed_and_found_by_name_and_id(
    http: httpx2.AsyncClient,
) -> None:
    made = await _create(http, label="production", comment="The first.")
    assert made["id"].startswith("prompt_")
    assert (made["latest"], made["labels"]) == (1, {"production": 1})
    assert made["version"]["comment"] == "The first."
    assert made["version"]["created"]
    changed = await _ok(
        http, "POST", f"{PROMPTS}/greeting", {"description": "Says hello.", "metadata": {"a": "b"}}
    )
    by_id = await _ok(http, "GET", f"{PROMPTS}/{made['id']}")
    assert by_id == changed
    assert (by_id["description"], by_id["metadata"]) == ("Says hello.", {"a": "b"})
    await _create(http, "another")
    listed = await _ok(http, "GET", f"{PROMPTS}?limit=1")
    assert ([row["name"] for row in listed["data"]], listed["has_more"]) == (["another"], True)
    status, param, said = await _error(
        http, "POST", PROMPTS, {"name": "greeting", "version": HELLO}
    )
    assert (status, param) == (409, "name")
    assert "version of it instead" in said


async def test_the_same_body_again_is_the_version_that_there_is(http: httpx2.AsyncClient) -> None:
    first = (await _create(http))["version"]
    again = await _ok(
        http,
        "POST",
        f"{PROMPTS}/greeting/versions",
        {"variables": {"name": {}}, "messages": HELLO["messages"]},
    )
    assert (again["id"], again["number"], again["created"]) == (first["id"], 1, False)
    other = await _version(http, "Bye.")
    assert (other["number"], other["created"]) == (2, True)
    listed = await _ok(http, "GET", f"{PROMPTS}/greeting/versions")
    assert [row["number"] for row in listed["data"]] == [2, 1]
    assert listed["data"][0]["body"] is None
    page = await _ok(http, "GET", f"{PROMPTS}/greeting/versions?after={listed['data'][0]['id']}")
    assert [row["number"] for row in page["data"]] == [1]
    for version in ("1", first["digest"]):
        found = await _ok(http, "GET", f"{PROMPTS}/greeting/versions/{version}")
        assert found["body"]["messages"] == HELLO["messages"]


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role", "'system'"),
        (user_says("{{ other }}"), None, "uses other without declaring it"),
        (user_says("{{ name.__class__ }}"), "messages.0.content", "internal"),
        (user_says("{{ 2 ** 9 }}"), "messages.0.content", "not part of"),
        ({"variables": {"name": {"type": "colour"}}}, "variables.name.type", "'string'"),
        ({"variables": {"name": {"type": "integer", "default": "x"}}}, "variables.name", "integer"),
        ({"output_schema": {"type": "colour"}}, None, "output_schema.type is no JSON schema"),
        ({"steps": [{"name": "a", "prompt": "nothing"}]}, "steps.0.prompt", "no such version"),
        ({"label": "latest"}, "label", "names a version already"),
        ({"colour": 1}, "colour", ""),
    ],
)
async def test_a_wrong_version_is_refused_by_its_field(
    http: httpx2.AsyncClient, change: Any, param: str | None, said: str
) -> None:
    await _create(http)
    status, found, message = await _error(
        http, "POST", f"{PROMPTS}/greeting/versions", {**HELLO, **change}
    )
    assert status == 400, message
    assert said in message
    assert param is None or found == param


async def test_labels_move_with_their_history_and_roll_back(http: httpx2.AsyncClient) -> None:
    await _create(http, label="production")
    await _version(http, "two")
    await _version(http, "three")
    label = f"{PROMPTS}/greeting/labels/production"
    moved = await _ok(http, "POST", label, {"version": "2", "expected": 1, "reason": "shorter"})
    assert (moved["number"], moved["previous"], moved["moves"]) == (2, 1, 2)
    status, param, said = await _error(http, "POST", label, {"version": "3", "expected": 1})
    assert (status, param) == (409, "expected")
    assert "stands at 2, not at 1" in said
    await _ok(http, "POST", label, {"version": "latest"})
    back = await _ok(http, "POST", f"{label}/rollback", {"steps": 2, "reason": "worse"})
    assert (back["number"], back["previous"]) == (1, 3)
    status, param, _ = await _error(http, "POST", f"{label}/rollback", {})
    assert (status, param) == (400, "steps")
    history = await _ok(http, "GET", f"{label}/history")
    assert [(m["kind"], m["source"], m["target"], m["reason"]) for m in history["data"]] == [
        ("rollback", 3, 1, "worse"),
        ("moved", 2, 3, None),
        ("moved", 1, 2, "shorter"),
        ("created", None, 1, None),
    ]
    older = await _ok(http, "GET", f"{label}/history?after={history['data'][1]['id']}&limit=1")
    assert [m["target"] for m in older["data"]] == [2]
    assert older["has_more"]


async def test_a_deleted_label_keeps_its_history_and_begins_anew(http: httpx2.AsyncClient) -> None:
    await _create(http, label="staging")
    await _version(http, "two", label="staging")
    label = f"{PROMPTS}/greeting/labels/staging"
    await _ok(http, "DELETE", label)
    assert (await _error(http, "DELETE", label))[0] == 404
    assert (await _ok(http, "GET", f"{PROMPTS}/greeting/labels"))["data"] == []
    await _ok(http, "POST", label, {"version": "1", "expected": 0})
    listed = await _ok(http, "GET", f"{PROMPTS}/greeting/labels")
    assert [(row["id"], row["number"]) for row in listed["data"]] == [("staging", 1)]
    assert (await _error(http, "POST", f"{label}/rollback", {}))[1] == "steps"
    assert len((await _ok(http, "GET", f"{label}/history"))["data"]) == 3


async def test_of_two_moves_from_one_version_one_wins(http: httpx2.AsyncClient) -> None:
    await _create(http, label="production")
    await _version(http, "two")
    await _version(http, "three")
    path = f"{PROMPTS}/greeting/labels/production"
    answers = await asyncio.gather(
        *(http.post(path, json={"version": v, "expected": 1}) for v in ("2", "3"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert len((await _ok(http, "GET", f"{path}/history"))["data"]) == 2


async def test_two_versions_made_at_once_get_two_numbers_or_a_409(
    http: httpx2.AsyncClient,
) -> None:
    await _create(http)
    path = f"{PROMPTS}/greeting/versions"
    answers = await asyncio.gather(
        *(http.post(path, json=user_says(f"text {n}")) for n in range(4))
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    made = [answer.json()["number"] for answer in answers if answer.status_code == 200]
    assert sorted(made) == list(range(2, 2 + len(made)))


async def test_a_deleted_prompt_is_gone_but_for_its_digests_and_can_come_again(
    http: httpx2.AsyncClient,
) -> None:
    version = (await _create(http, label="production"))["version"]
    await _ok(http, "DELETE", f"{PROMPTS}/greeting")
    assert (await _error(http, "GET", f"{PROMPTS}/greeting"))[0] == 404
    assert (await _ok(http, "GET", PROMPTS))["data"] == []
    found = await _ok(http, "GET", f"{PROMPTS}/greeting/versions/{version['digest']}")
    assert found["body"] == version["body"]
    again = await _ok(http, "POST", PROMPTS, {"name": "greeting", "version": user_says("new")})
    assert again["id"] == version["prompt"]
    assert (again["latest"], again["labels"]) == (2, {})


async def test_a_diff_tells_places_and_lines(http: httpx2.AsyncClient) -> None:
    await _create(http)
    await _version(http, "Hello you.", stop=["\n"])
    found = await _ok(http, "GET", f"{PROMPTS}/greeting/diff?from=1&to=latest")
    changes = {change["path"]: change for change in found["changes"]}
    assert set(changes) == {"messages.0.content", "variables", "stop"}
    assert changes["messages.0.content"]["new"] == "Hello you."
    assert changes["stop"]["kind"] == "added"
    assert {"-  content: Hello {{ name }}.", "+  content: Hello you."} <= set(
        found["unified"].splitlines()
    )
    assert found["unified"].startswith("--- greeting@1\n+++ greeting@2\n")
    assert (await _error(http, "GET", f"{PROMPTS}/greeting/diff?from=9"))[0] == 404


async def test_an_import_makes_versions_and_an_export_gives_them_back(
    http: httpx2.AsyncClient,
) -> None:
    text = json.dumps({"name": "greeting", **HELLO})
    made = await _ok(http, "POST", f"{PROMPTS}/import", {"content": text, "label": "production"})
    assert made["labels"] == {"production": 1}
    assert made["version"]["body"]["messages"][0]["content"] == "Hello {{ name }}."
    exported = await _ok(http, "GET", f"{PROMPTS}/greeting/export?format=langchain")
    back = await _ok(
        http, "POST", f"{PROMPTS}/import", {"name": "greeting", "content": exported["content"]}
    )
    assert (back["version"]["number"], back["version"]["created"]) == (1, False)
    plain = {"name": "greeting", "content": "Hi {{ name }}", "label": "production"}
    moved = await _ok(http, "POST", f"{PROMPTS}/import", plain)
    assert (moved["latest"], moved["labels"]) == (2, {"production": 2})
    status, param, said = await _error(
        http, "POST", f"{PROMPTS}/import", {"content": json.dumps({"lc": 1}), "name": "x"}
    )
    assert (status, param) == (400, "content")
    assert "no serialised object" in said
    assert (await _error(http, "POST", f"{PROMPTS}/import", {"content": "Hi"}))[1] == "name"
    reserved = {"name": "import", "version": HELLO}
    assert (await _error(http, "POST", PROMPTS, reserved))[1] == "name"


class TestRendering:
    """Over the real token counter."""

    @pytest.fixture
    def parts(self, parts: Services, stage: Stage) -> Services:
        return over_stage(parts, stage)

    async def test_a_version_is_rendered_without_a_model(
        self, http: httpx2.AsyncClient, stage: Stage
    ) -> None:
        await _create(http)
        found = await _ok(
            http, "POST", f"{PROMPTS}/greeting/render", {"variables": {"name": "Ada"}}
        )
        assert found["messages"] == [{"role": "user", "content": "Hello Ada."}]
        assert 20 < found["tokens"] < 60
        assert stage.model.calls == []
        status, param, said = await _error(http, "POST", f"{PROMPTS}/greeting/render", {})
        assert (status, param) == (400, "prompt.variables.name")
        assert "name missing" in said

    async def test_the_default_prompt_cannot_be_moved_to_what_no_search_fills(
        self, http: httpx2.AsyncClient, parts: Services
    ) -> None:
        name = parts.settings.grounding.prompt
        body = {"name": name, "version": {**HELLO, "label": "production"}}
        status, param, said = await _error(http, "POST", PROMPTS, body)
        assert (status, param) == (400, "prompt")
        assert "passages and question" in said
        assert (await _error(http, "GET", f"{PROMPTS}/{name}"))[0] == 404, "nothing was made"
