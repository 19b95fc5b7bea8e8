"""`/v1/lineage` over real records, and what leaves edges in them."""

import json
from typing import Any

import httpx2
import openai
import pytest
from sqlalchemy import select

from cluster.records import Alias, Feedback, LineageEdge, StoredFile, Trace
from deployments.gateway.services import Services
from deployments.lineage.node import PREFIXES
from deployments.tracing.draft import TraceDraft
from tests.deployments.gateway.conftest import upload
from tests.fixtures.lineage import ADAPTER, BASE, add_loop, add_trace


@pytest.fixture
def loop(parts: Services) -> None:
    """A whole turn of the loop."""
    with parts.database.session() as session:
        add_loop(session)


async def lineage(http: httpx2.AsyncClient, thing: str, **asked: Any) -> Any:
    answer = await http.get(f"/v1/lineage/{thing}", params=asked)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(found: Any) -> list[str]:
    return [node["id"] for node in found["nodes"]]


def edges(parts: Services) -> set[tuple[str, str, str]]:
    with parts.database.session() as session:
        return {(row.source, row.kind, row.target) for row in session.scalars(select(LineageEdge))}


@pytest.mark.usefixtures("loop")
async def test_an_answer_is_led_back_to_what_it_was_made_of(http: httpx2.AsyncClient) -> None:
    found = await lineage(http, "trace_new")
    assert (found["object"], found["root"], found["direction"]) == (
        "lineage",
        "trace_new",
        "backward",
    )
    assert not found["truncated"]
    assert found["left_out"] == {}
    nodes = {node["id"]: node for node in found["nodes"]}
    assert ids(found)[0] == "trace_new"
    assert nodes["trace_new"]["summary"] == {"model": ADAPTER, "alias": "assistant", "status": 200}
    assert nodes["fb_1"]["title"] == "sort:animal"
    assert nodes["file-train"]["summary"]["role"] == "dataset"
    assert nodes["file-doc"]["summary"]["role"] == "document"
    assert nodes[ADAPTER]["summary"]["rows"] == 40
    assert nodes["psg_1"]["title"] == "handbook.txt"
    assert not any(node["missing"] for node in found["nodes"])
    link = {"source": "fb_1", "target": "file-train", "kind": "row"}
    assert link in found["edges"]


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("trace_new", "trace"),
        ("resp_1", "response"),
        ("fb_1", "feedback"),
        ("psg_1", "passage"),
        ("file-doc", "file"),
        ("vs_1", "vector_store"),
        ("vs_1/file-doc", "vector_store.file"),
        (ADAPTER, "adapter"),
        (BASE, "model"),
        ("ftjob-1", "fine_tuning.job"),
        ("ftckpt_1", "fine_tuning.job.checkpoint"),
        ("gate_1", "gate_run"),
        ("assistant", "alias"),
        ("assistant@2", "alias.move"),
        ("polite@0123456789ab", "prompt"),
        ("eval_1", "eval"),
        ("evalrun_1", "eval.run"),
        ("evalcmp_1", "eval.comparison"),
        ("exp_1", "experiment"),
        ("monitor_1", "drift.monitor"),
        ("drift_1", "drift.report"),
        ("alert_1", "alert"),
    ],
)
async def test_any_id_is_taken(http: httpx2.AsyncClient, name: str, type_: str) -> None:
    found = await lineage(http, name, direction="both")
    first = found["nodes"][0]
    assert (first["id"], first["type"], first["missing"]) == (name, type_, False)
    assert found["edges"]


@pytest.mark.usefixtures("loop")
async def test_a_prompt_is_taken_by_its_number_too(http: httpx2.AsyncClient) -> None:
    assert (await lineage(http, "polite@2"))["root"] == "polite@0123456789ab"


@pytest.mark.usefixtures("loop")
@pytest.mark.parametrize("name", ["req_trace_new", "chatcmpl-req_trace_new"])
async def test_a_request_and_a_completion_are_their_trace(
    http: httpx2.AsyncClient, name: str
) -> None:
    assert (await lineage(http, name))["root"] == "trace_new"


async def test_the_default_alias_stands_for_the_first_model_until_it_moves(
    http: httpx2.AsyncClient, parts: Services
) -> None:
    with parts.database.session() as session:
        add_trace(session, "trace_1")
        assert session.scalars(select(Alias)).all() == []
    found = await lineage(http, "assistant", direction="forward")
    assert (found["root"], ids(found)) == (BASE, [BASE, "trace_1"])


@pytest.mark.parametrize("name", ["trace_none", "nothing", "file-0", "polite@9", "ft:a:b:c"])
async def test_what_nothing_is_known_of_is_told_with_what_is(
    http: httpx2.AsyncClient, name: str
) -> None:
    answer = await http.get(f"/v1/lineage/{name}")
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (404, "id", "not_found")
    assert name in error["message"]
    assert all(prefix in error["message"] for prefix in PREFIXES)


@pytest.mark.usefixtures("loop")
async def test_only_some_types_are_told_though_the_walk_goes_on(http: httpx2.AsyncClient) -> None:
    found = await lineage(http, "trace_new", types="feedback, trace")
    assert set(ids(found)) == {"trace_new", "trace_old", "fb_1"}
    assert found["edges"] == [{"source": "trace_old", "target": "fb_1", "kind": "judged_by"}]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"types": "feedback,thing"}, "types"),
        ({"direction": "up"}, "direction"),
        ({"depth": "0"}, "depth"),
        ({"limit": "1001"}, "limit"),
    ],
)
async def test_a_wrong_question_names_its_field(
    http: httpx2.AsyncClient, asked: dict[str, str], param: str
) -> None:
    answer = await http.get("/v1/lineage/trace_1", params=asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (400, param)


@pytest.mark.usefixtures("loop")
async def test_bounds_are_kept_and_told(http: httpx2.AsyncClient) -> None:
    found = await lineage(http, "file-doc", direction="forward", depth=2)
    assert ids(found) == ["file-doc", "vs_1/file-doc", "psg_1"]
    assert (found["truncated"], found["left_out"]) == (True, {"trace": 1})
    few = await lineage(http, BASE, direction="forward", limit=1)
    assert few["truncated"]
    assert few["left_out"]["trace"] >= 1


@pytest.mark.usefixtures("loop")
async def test_what_was_deleted_stays_and_is_missing(
    http: httpx2.AsyncClient, client: openai.AsyncOpenAI, parts: Services
) -> None:
    parts.storage.put("file-doc", [b"text"])
    await client.files.delete("file-doc")
    with parts.database.session() as session:
        session.delete(session.get_one(Feedback, "fb_1"))
    found = await lineage(http, "trace_new")
    missing = {node["id"] for node in found["nodes"] if node["missing"]}
    assert missing == {"file-doc", "vs_1/file-doc", "psg_1", "fb_1"}
    root = (await lineage(http, "fb_1", direction="forward"))["nodes"][0]
    assert root["missing"]


async def test_a_trace_that_still_waits_is_found(http: httpx2.AsyncClient, parts: Services) -> None:
    draft = TraceDraft(route="/v1/responses", model=BASE)
    parts.traces.record(draft)
    assert ids(await lineage(http, draft.id)) == [draft.id, BASE]


async def test_rows_to_train_on_say_whence_they_are(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    messages = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    rows = [
        {"messages": messages, "metadata": {"trace": f"trace_{n}", "feedback": "fb_1"}}
        for n in (1, 2)
    ]
    data = "\n".join(map(json.dumps, rows)).encode()
    made = await client.files.create(file=("rows.jsonl", data), purpose="fine-tune")
    assert edges(parts) == {(name, "row", made.id) for name in ("trace_1", "trace_2", "fb_1")}


async def test_a_file_that_is_refused_leaves_no_edge(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    data = json.dumps({"messages": [], "metadata": {"trace": "trace_1"}}).encode()
    with pytest.raises(openai.BadRequestError):
        await client.files.create(file=("rows.jsonl", data), purpose="fine-tune")
    assert edges(parts) == set()


async def test_a_file_of_any_other_purpose_is_not_read(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    await upload(client, json.dumps({"item": {"trace": "trace_1"}}))
    assert edges(parts) == set()


async def test_sources_beyond_the_bound_are_told_with_the_file(
    client: openai.AsyncOpenAI,
    http: httpx2.AsyncClient,
    parts: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deployments.lineage.row_sources.MOST_SOURCES", 2)
    rows = [json.dumps({"item": {"trace": f"trace_{n}"}}) for n in range(5)]
    made = await client.files.create(
        file=("items.jsonl", "\n".join(rows).encode()), purpose="evals"
    )
    assert {source for source, _, _ in edges(parts)} == {"trace_0", "trace_1"}
    found = await lineage(http, made.id)
    assert found["nodes"][0]["summary"]["sources_left_out"] == 3
    with parts.database.session() as session:
        assert session.get_one(StoredFile, made.id).meta == {"sources_left_out": 3}


async def test_a_run_of_stored_answers_says_which_they_are(
    client: openai.AsyncOpenAI, http: httpx2.AsyncClient, parts: Services
) -> None:
    with parts.database.session() as session:
        add_trace(session, "trace_1", answer="yes")
        session.add(
            Trace(id="trace_2", request_id="r", route="/v1/responses", status=500, question="?")
        )
    made = await client.evals.create(
        name="answers",
        data_source_config={"type": "logs"},
        testing_criteria=[
            {
                "type": "string_check",
                "name": "yes",
                "input": "{{sample.output_text}}",
                "reference": "yes",
                "operation": "eq",
            }
        ],
    )
    run = await client.evals.runs.create(
        made.id, data_source={"type": "responses", "source": {"type": "responses"}}
    )
    assert edges(parts) == {("trace_1", "row", run.id)}
    assert ids(await lineage(http, run.id)) == [run.id, "trace_1", made.id, BASE]
