"""`/v1/aliases`, `/v1/adapters`, and who answers to a name."""

import asyncio
import json
from itertools import pairwise
from typing import cast

import httpx2
import openai
import pytest

from cluster.ids import new_id
from cluster.records import GateRun
from deployments.errors import Unavailable
from deployments.gateway.services import Services
from tests.fakes.adapters import add_adapter
from tests.fakes.parts import FakeModel

BASE = "smollm2-135m-instruct"
QUESTION = [{"role": "user", "content": "hello"}]


@pytest.fixture
def model(parts: Services) -> FakeModel:
    fake = cast(FakeModel, parts.models[BASE])
    fake.answer = json.dumps({"choices": [{"index": 0, "message": {"content": "x"}}]})
    return fake


@pytest.fixture
def one(parts: Services) -> str:
    return add_adapter(parts.database, parts.storage, b"one")


@pytest.fixture
def two(parts: Services) -> str:
    return add_adapter(parts.database, parts.storage, b"two")


async def promote(
    http: httpx2.AsyncClient, target: str, alias: str = "assistant"
) -> dict[str, object]:
    body = {"target": target, "override": True, "reason": "a test"}
    answer = await http.post(f"/v1/aliases/{alias}/promote", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def ask(http: httpx2.AsyncClient, model: FakeModel, name: str) -> str | None:
    """The adapter that was asked, None for the base."""
    answer = await http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION})
    assert answer.status_code == 200, answer.text
    call = model.calls[-1]
    assert call.body["model"] == (BASE if call.adapter is None else call.adapter.id)
    return None if call.adapter is None else call.adapter.id


async def test_the_default_alias_answers_by_the_first_model_until_it_moves(
    http: httpx2.AsyncClient, model: FakeModel, one: str
) -> None:
    assert await ask(http, model, "assistant") is None
    moved = await promote(http, one)
    assert (moved["previous"], moved["target"], moved["replicas"]) == (BASE, one, 1)
    assert model.prepared == [one]
    assert await ask(http, model, "assistant") == one
    assert await ask(http, model, BASE) is None
    assert await ask(http, model, one) == one


async def test_an_unknown_adapter_is_404_and_not_the_base(
    http: httpx2.AsyncClient, model: FakeModel
) -> None:
    name = f"ft:{BASE}:t:000000000000"
    answer = await http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert model.calls == []


async def test_a_kind_that_vllm_does_not_serve_is_refused(
    http: httpx2.AsyncClient, parts: Services
) -> None:
    name = add_adapter(parts.database, parts.storage, kind="dora")
    answer = await http.post("/v1/chat/completions", json={"model": name, "messages": QUESTION})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "adapter_not_served")
    assert "export" in answer.json()["error"]["message"]


async def test_completions_go_to_the_adapter_too(
    http: httpx2.AsyncClient, model: FakeModel, one: str
) -> None:
    await http.post("/v1/completions", json={"model": one, "prompt": "a"})
    adapter = model.calls[-1].adapter
    assert adapter is not None
    assert adapter.id == one


async def test_a_trace_names_the_version_and_the_alias(http: httpx2.AsyncClient, one: str) -> None:
    await promote(http, one)
    body = {"model": "assistant", "messages": QUESTION}
    trace_id = (await http.post("/v1/chat/completions", json=body)).headers["x-trace-id"]
    trace = (await http.get(f"/v1/traces/{trace_id}")).json()
    assert (trace["model"], trace["alias"]) == (one, "assistant")


async def test_rollbacks_take_moves_back_one_by_one(
    http: httpx2.AsyncClient, one: str, two: str
) -> None:
    async def back(steps: int = 1) -> httpx2.Response:
        return await http.post("/v1/aliases/assistant/rollback", json={"steps": steps})

    await promote(http, one)
    await promote(http, two)
    assert (await back()).json()["target"] == one
    await promote(http, two)
    assert (await back()).json()["target"] == one
    assert (await back()).json()["target"] == BASE
    refused = await back()
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "nothing_to_roll_back")
    await promote(http, one)
    await promote(http, two)
    assert (await back(2)).json()["target"] == BASE
    history = (await http.get("/v1/aliases/assistant/history")).json()["data"]
    kinds = [move["kind"] for move in reversed(history)]
    assert kinds == [
        *("override", "override", "rollback", "override", "rollback", "rollback"),
        *("override", "override", "rollback"),
    ]
    assert [move["version"] for move in history] == list(range(9, 0, -1))


async def test_a_move_needs_a_gate_or_a_person_with_a_reason(
    http: httpx2.AsyncClient, one: str
) -> None:
    for body in ({"target": one}, {"target": one, "override": True}):
        answer = await http.post("/v1/aliases/assistant/promote", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "gate_required")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"verdict": "inconclusive"}, "verdict"),
        ({"status": "running"}, "status"),
        ({"alias": "other"}, "alias"),
        ({"adapter_id": "ft:x:y"}, "adapter"),
    ],
)
async def test_a_gate_run_that_does_not_say_so_promotes_nothing(
    http: httpx2.AsyncClient, parts: Services, one: str, changes: dict[str, str], field: str
) -> None:
    gate = gate_run(parts, one, **changes)
    answer = await http.post("/v1/aliases/assistant/promote", json={"target": one, "gate": gate})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "gate_not_passed")
    assert f"its {field} is" in answer.json()["error"]["message"]


async def test_a_gate_promotes_against_the_champion_it_compared_with_only(
    http: httpx2.AsyncClient, parts: Services, one: str, two: str
) -> None:
    gate = gate_run(parts, one)
    await promote(http, two)
    answer = await http.post("/v1/aliases/assistant/promote", json={"target": one, "gate": gate})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "alias_moved")
    await http.post("/v1/aliases/assistant/rollback", json={})
    answer = await http.post("/v1/aliases/assistant/promote", json={"target": one, "gate": gate})
    assert answer.json()["target"] == one
    assert (await http.get(f"/v1/gate_runs/{gate}")).json()["promoted"]
    move = (await http.get("/v1/aliases/assistant/history")).json()["data"][0]
    assert (move["kind"], move["gate"]) == ("promoted", gate)


async def test_an_alias_stays_where_it_is_when_a_replica_cannot_load(
    http: httpx2.AsyncClient, model: FakeModel, one: str
) -> None:
    model.failure = Unavailable("no", code="engine_failed", retry_after_s=1)
    body = {"target": one, "override": True, "reason": "x"}
    assert (await http.post("/v1/aliases/assistant/promote", json=body)).status_code == 503
    assert (await http.get("/v1/aliases/assistant")).json()["target"] == BASE


async def test_of_two_moves_at_once_each_counts(
    http: httpx2.AsyncClient, one: str, two: str
) -> None:
    body = {"override": True, "reason": "x"}
    answers = await asyncio.gather(
        *(
            http.post("/v1/aliases/assistant/promote", json={**body, "target": target})
            for target in (one, two, one, two)
        )
    )
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = [answer for answer in answers if answer.status_code == 200]
    history = (await http.get("/v1/aliases/assistant/history")).json()["data"]
    assert len(history) == len(done) >= 1
    for newer, older in pairwise(history):
        assert newer["source"] == older["target"]


async def test_names_are_made_listed_and_forgotten(
    http: httpx2.AsyncClient, client: openai.AsyncOpenAI, one: str
) -> None:
    made = await http.post("/v1/aliases", json={"name": "bank", "target": BASE})
    assert made.json()["version"] == 1
    again = await http.post("/v1/aliases", json={"name": "bank", "target": BASE})
    assert again.json()["error"]["code"] == "alias_exists"
    for name in (BASE, "ft:x", "Bad Name"):
        assert (
            await http.post("/v1/aliases", json={"name": name, "target": BASE})
        ).status_code == 400
    await promote(http, one, "bank")
    listed = {row["id"]: row["target"] for row in (await http.get("/v1/aliases")).json()["data"]}
    assert listed == {"assistant": BASE, "bank": one}
    models = {model.id for model in (await client.models.list()).data}
    assert {"assistant", "bank", one} <= models
    assert (await client.models.retrieve("bank")).model_extra == {
        "kind": "alias",
        "max_context_tokens": 4096,
        "target": one,
        "parent": BASE,
    }
    assert (await http.delete("/v1/aliases/bank")).json()["deleted"]
    assert (await http.get("/v1/aliases/bank")).status_code == 404


async def test_an_adapter_in_use_is_kept_and_another_deleted_with_its_bytes(
    http: httpx2.AsyncClient, client: openai.AsyncOpenAI, parts: Services, one: str, two: str
) -> None:
    await promote(http, one)
    refused = await http.delete(f"/v1/adapters/{one}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "adapter_in_use")
    files = (await http.get(f"/v1/adapters/{two}")).json()["files"]
    sent = await http.get(f"/v1/adapters/{two}/files/adapter_model.safetensors")
    assert sent.content == b"two"
    assert (await client.models.delete(two)).deleted
    assert (await http.get(f"/v1/adapters/{two}")).status_code == 404
    assert {file["name"] for file in files} == {"adapter_config.json", "adapter_model.safetensors"}
    listed = (await http.get("/v1/adapters")).json()["data"]
    assert [(row["id"], row["aliases"]) for row in listed] == [(one, ["assistant"])]
    kept = parts.storage
    names = {f"{file['name']}" for file in files}
    assert all(kept.exists(f"{_prefix(parts, one)}/{name}") for name in names)


async def test_adapters_are_listed_newest_first_in_pages(
    http: httpx2.AsyncClient, one: str, two: str
) -> None:
    page = (await http.get("/v1/adapters?limit=1")).json()
    assert ([row["id"] for row in page["data"]], page["has_more"]) == ([two], True)
    rest = (await http.get(f"/v1/adapters?after={two}")).json()
    assert [row["id"] for row in rest["data"]] == [one]


def gate_run(parts: Services, adapter: str, **changes: str) -> str:
    row = GateRun(
        id=new_id("gate"),
        **{
            "status": "completed",
            "alias": "assistant",
            "adapter_id": adapter,
            "champion": BASE,
            "evaluation_file": "file-1",
            "verdict": "promote",
            **changes,
        },
    )
    with parts.database.session() as session:
        session.add(row)
    return row.id


def _prefix(parts: Services, adapter_id: str) -> str:
    from cluster.records import Adapter

    with parts.database.session(read_only=True) as session:
        row = session.get(Adapter, adapter_id)
        assert row is not None
        return str(row.files["prefix"])
