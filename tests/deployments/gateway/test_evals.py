"""`evals` through the official client: what is accepted, refused and kept."""

import json
from typing import Any, cast

import httpx2
import openai
import pytest
from sqlalchemy import select, update

from cluster.records import EvalItem, EvalRun, Trace
from deployments.evaluator.messages import GradedAnswer
from deployments.gateway.services import Services
from tests.fakes.parts import FakeEvaluator

SCHEMA = {
    "type": "object",
    "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["question", "answer"],
}
CHECK = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "operation": "ilike",
}
ITEMS = [
    {"item": {"question": "Capital of France?", "answer": "Paris"}},
    {"item": {"question": "Capital of Italy?", "answer": "Rome"}},
]
ASK: Any = {
    "type": "completions",
    "source": {"type": "file_content", "content": ITEMS},
    "model": "assistant",
    "input_messages": {
        "type": "template",
        "template": [{"role": "user", "content": "{{item.question}}"}],
    },
    "sampling_params": {"max_completion_tokens": 8},
}


def custom(**more: Any) -> Any:
    return {"type": "custom", "item_schema": SCHEMA, "include_sample_schema": True, **more}


async def made_eval(client: openai.AsyncOpenAI, **more: Any) -> str:
    body: dict[str, Any] = {
        "name": "capitals",
        "data_source_config": custom(),
        "testing_criteria": [CHECK],
    }
    return (await client.evals.create(**{**body, **more})).id


async def test_an_eval_is_kept_changed_listed_and_deleted(client: openai.AsyncOpenAI) -> None:
    strict = client.with_options()
    strict._strict_response_validation = True
    made = await strict.evals.create(
        name="capitals",
        data_source_config=custom(),
        testing_criteria=[cast(Any, CHECK)],
        metadata={"team": "a"},
    )
    config: Any = made.data_source_config
    assert (made.name, made.metadata, config.type) == ("capitals", {"team": "a"}, "custom")
    assert config.schema_["properties"]["item"] == SCHEMA
    assert "sample" in config.schema_["properties"]
    assert made.testing_criteria[0].to_dict() == CHECK
    assert (await strict.evals.retrieve(made.id)).to_dict() == made.to_dict()
    changed = await strict.evals.update(made.id, name="towns", metadata={"team": "b"})
    assert (changed.name, changed.metadata) == ("towns", {"team": "b"})
    other = await made_eval(client)
    assert [row.id async for row in strict.evals.list(limit=1)] == [made.id, other]
    newest = await strict.evals.list(order="desc", order_by="updated_at")
    assert {row.id for row in newest.data} == {made.id, other}
    gone = await strict.evals.delete(made.id)
    assert (gone.deleted, gone.eval_id) == (True, made.id)
    with pytest.raises(openai.NotFoundError):
        await client.evals.retrieve(made.id)


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        (
            {"testing_criteria": [{**CHECK, "type": "python", "source": "1"}]},
            "testing_criteria.0.type",
            "not run here",
        ),
        (
            {"testing_criteria": [{**CHECK, "type": "vibes"}]},
            "testing_criteria.0.type",
            "string_check",
        ),
        (
            {"testing_criteria": [{**CHECK, "operation": "near"}]},
            "testing_criteria.0.operation",
            "'near'",
        ),
        ({"testing_criteria": [{**CHECK, "inputs": "x"}]}, "testing_criteria.0.inputs", "Unknown"),
        (
            {"testing_criteria": [{**CHECK, "reference": "{{item.reply}}"}]},
            "testing_criteria.0",
            "item.reply",
        ),
        (
            {"testing_criteria": [{**CHECK, "input": "{{sample.text}}"}]},
            "testing_criteria.0.input",
            "sample.text",
        ),
        ({"testing_criteria": [CHECK, CHECK]}, "testing_criteria.1.name", "another grader"),
        ({"testing_criteria": []}, "testing_criteria", "at least 1"),
        (
            {"data_source_config": custom(item_schema={"type": "objekt"})},
            "data_source_config.item_schema.type",
            "no JSON schema",
        ),
        (
            {"data_source_config": custom(item_schema={"$ref": "http://10.0.0.1/x"})},
            "data_source_config.item_schema",
            "parts of itself",
        ),
        ({"metadata": {"k": "v" * 513}}, "metadata", "512"),
    ],
)
async def test_what_can_never_work_is_refused_by_its_field(
    http: httpx2.AsyncClient, change: dict[str, Any], param: str, says: str
) -> None:
    body = {"data_source_config": custom(), "testing_criteria": [CHECK], **change}
    answer = await http.post("/v1/evals", json=body)
    error = answer.json()["error"]
    assert answer.status_code == 400, answer.text
    assert str(error["param"]).startswith(param), error
    assert says in error["message"], error


async def test_a_run_queues_its_items_and_wakes_the_evaluator(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    eval_id = await made_eval(client)
    run = await client.evals.runs.create(
        eval_id, name="first", data_source=ASK, metadata={"k": "v"}
    )
    assert (run.status, run.model, run.eval_id) == ("queued", "assistant", eval_id)
    assert (run.result_counts.total, run.result_counts.passed) == (2, 0)
    assert run.to_dict()["error"] is None
    assert run.metadata == {"k": "v"}
    assert cast(FakeEvaluator, parts.evaluator).woken == 1
    with parts.database.session(read_only=True) as session:
        items = list(session.scalars(select(EvalItem).order_by(EvalItem.number)))
    assert [(item.number, item.status, item.item) for item in items] == [
        (1, "queued", ITEMS[0]["item"]),
        (2, "queued", ITEMS[1]["item"]),
    ]
    again = await client.evals.runs.retrieve(run.id, eval_id=eval_id)
    assert again.to_dict() == run.to_dict()
    listed = await client.evals.runs.list(eval_id, status="queued")
    assert [row.id for row in listed.data] == [run.id]
    assert (await client.evals.runs.list(eval_id, status="completed")).data == []


async def test_a_run_reads_an_uploaded_file(client: openai.AsyncOpenAI, parts: Services) -> None:
    eval_id = await made_eval(client)
    rows = [{**row, "sample": {"output_text": "Paris."}} for row in ITEMS]
    text = "\n\n".join(map(json.dumps, rows))
    file = await client.files.create(file=("rows.jsonl", text.encode()), purpose="evals")
    run = await client.evals.runs.create(
        eval_id,
        data_source={"type": "jsonl", "source": {"type": "file_id", "id": file.id}},
    )
    assert (run.model, run.result_counts.total) == ("", 2)
    with parts.database.session(read_only=True) as session:
        given = list(session.scalars(select(EvalItem.given)))
    assert given == [{"output_text": "Paris."}] * 2


async def test_every_problem_of_the_data_is_told_by_line_and_no_run_is_made(
    client: openai.AsyncOpenAI, http: httpx2.AsyncClient
) -> None:
    eval_id = await made_eval(client)
    lines = [
        json.dumps(ITEMS[0]),
        "not json",
        json.dumps({"item": {"question": 7}}),
        json.dumps({"question": "flat"}),
        json.dumps({"item": ITEMS[0]["item"], "sample": {"text": "x"}}),
        '{"item": {"question": "a", "answer": "b", "score": NaN}}',
    ]
    file = await client.files.create(
        file=("rows.jsonl", "\n".join(lines).encode()), purpose="evals"
    )
    source = {"type": "jsonl", "source": {"type": "file_id", "id": file.id}}
    answer = await http.post(f"/v1/evals/{eval_id}/runs", json={"data_source": source})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid_eval_data")
    assert error["param"] == "data_source.source.id"
    found = {(problem["line"], problem["field"]) for problem in error["problems"]}
    assert found == {
        (2, ""),
        (3, "item"),
        (3, "item.question"),
        (4, "item"),
        (5, "sample.output_text"),
        (5, "sample.text"),
        (6, ""),
    }
    assert (await client.evals.runs.list(eval_id)).data == []


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"model": "gpt-4o"}, "data_source.model", "does not exist"),
        ({"model": None}, "data_source.input_messages", "needs data_source.model"),
        ({"input_messages": None}, "data_source.input_messages", "required"),
        (
            {
                "input_messages": {
                    "type": "template",
                    "template": [{"role": "user", "content": "{{item.qestion}}"}],
                }
            },
            "data_source.input_messages",
            "item.qestion",
        ),
        (
            {
                "input_messages": {
                    "type": "template",
                    "template": [{"role": "user", "content": "{{sample.output_text}}"}],
                }
            },
            "data_source.input_messages",
            "no answer yet",
        ),
        (
            {"source": {"type": "file_id", "id": "file-none"}},
            "data_source.source.id",
            "No such file",
        ),
        ({"sampling_params": {"temperature": 9}}, "data_source.sampling_params", "temperature"),
        (
            {"source": {"type": "stored_completions"}, "input_messages": None},
            "data_source.source",
            "finds no answer",
        ),
    ],
)
async def test_a_run_that_cannot_work_is_refused_by_its_field(
    client: openai.AsyncOpenAI,
    http: httpx2.AsyncClient,
    change: dict[str, Any],
    param: str,
    says: str,
) -> None:
    eval_id = await made_eval(client)
    answer = await http.post(f"/v1/evals/{eval_id}/runs", json={"data_source": {**ASK, **change}})
    error = answer.json()["error"]
    assert answer.status_code in {400, 404}, answer.text
    assert str(error["param"]).startswith(param), error
    assert says in error["message"], error


async def test_a_file_for_something_else_is_refused(client: openai.AsyncOpenAI) -> None:
    eval_id = await made_eval(client)
    file = await client.files.create(file=("a.txt", b"text"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="uploaded for user_data"):
        await client.evals.runs.create(
            eval_id,
            data_source={"type": "jsonl", "source": {"type": "file_id", "id": file.id}},
        )


async def test_stored_answers_become_items_with_their_passages(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    passages = [{"text": "24 months.", "filename": "a.pdf"}, {"text": "Comets.", "filename": "b"}]
    support = {"passage": 0, "score": 1.0, "method": "overlap", "start": 0, "end": 3}
    body = {
        "passages": passages,
        "sentences": [{"supports": [support]}],
        "metadata": {"team": "a"},
        "tokens": {"prompt": 9, "completion": 3},
    }
    asked = {"question": "How long?", "answer": "24 months.", "status": 200, "model": "m"}
    asked["alias"] = "assistant"
    changes: list[dict[str, Any]] = [
        {"body": body},
        {"body": {**body, "background": True}},
        {"body": {**body, "metadata": {}}},
        {"body": body, "answer": None},
        {"body": body, "route": "/v1/chat/completions"},
        {"body": body, "status": 500},
    ]
    with parts.database.session() as session:
        for number, more in enumerate(changes):
            fields: dict[str, Any] = {"route": "/v1/responses", "created_at": 100 + number}
            session.add(
                Trace(id=f"trace_{number}", request_id=str(number), **{**asked, **fields, **more})
            )
    eval_id = await made_eval(
        client,
        data_source_config={"type": "logs", "metadata": {"team": "a"}},
        testing_criteria=[{**CHECK, "reference": "{{item.input}}"}],
    )
    run = await client.evals.runs.create(
        eval_id,
        data_source={
            "type": "responses",
            "source": {"type": "responses", "model": "assistant", "created_after": 100},
        },
    )
    with parts.database.session(read_only=True) as session:
        [item] = session.scalars(select(EvalItem).where(EvalItem.run_id == run.id))
    assert (item.item["input"], item.item["trace_id"]) == ("How long?", "trace_0")
    given = item.given or {}
    assert [(p["document"], p["cited"]) for p in given["passages"]] == [
        ("a.pdf", True),
        ("b", False),
    ]
    assert (given["output_text"], given["completion_tokens"]) == ("24 months.", 3)


async def test_output_items_are_listed_by_how_they_came_out(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    eval_id = await made_eval(client)
    run = await client.evals.runs.create(eval_id, data_source=ASK)
    score = {"value": 1.0, "passed": True, "detail": {"why": "equal"}}
    sample = {
        "output_text": "Paris.",
        "model": "m",
        "input": [{"role": "user", "content": "Capital of France?"}],
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "finish_reason": "stop",
    }
    with parts.database.session() as session:
        for number, outcome in ((1, "pass"), (2, "error")):
            session.execute(
                update(EvalItem)
                .where(EvalItem.run_id == run.id, EvalItem.number == number)
                .values(
                    status="done",
                    outcome=outcome,
                    sample=sample if outcome == "pass" else None,
                    scores={"right": score} if outcome == "pass" else {},
                    error=None if outcome == "pass" else {"code": "api_error", "message": "down"},
                    finished_at=5,
                )
            )
    items = await client.evals.runs.output_items.list(run.id, eval_id=eval_id)
    assert [(item.datasource_item_id, item.status) for item in items.data] == [
        (0, "pass"),
        (1, "error"),
    ]
    first = items.data[0]
    assert (first.results[0].name, first.results[0].score, first.results[0].passed) == (
        "right",
        1.0,
        True,
    )
    assert (first.sample.output[0].content, first.sample.usage.total_tokens) == ("Paris.", 7)
    assert first.sample.input[0].content == "Capital of France?"
    assert items.data[1].sample.error.message == "down"
    passed = await client.evals.runs.output_items.list(run.id, eval_id=eval_id, status="pass")
    assert [item.id for item in passed.data] == [first.id]
    again = await client.evals.runs.output_items.retrieve(first.id, eval_id=eval_id, run_id=run.id)
    assert again.to_dict() == first.to_dict()
    counts = (await client.evals.runs.retrieve(run.id, eval_id=eval_id)).result_counts
    assert (counts.total, counts.passed, counts.failed, counts.errored) == (2, 1, 0, 1)


async def test_a_run_is_canceled_once_and_deleted_with_its_items(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    eval_id = await made_eval(client)
    run = await client.evals.runs.create(eval_id, data_source=ASK)
    assert (await client.evals.runs.cancel(run.id, eval_id=eval_id)).status == "canceled"
    with pytest.raises(openai.BadRequestError, match="it is canceled"):
        await client.evals.runs.cancel(run.id, eval_id=eval_id)
    gone = await client.evals.runs.delete(run.id, eval_id=eval_id)
    assert (gone.deleted, gone.run_id) == (True, run.id)
    with parts.database.session(read_only=True) as session:
        assert list(session.scalars(select(EvalItem.id))) == []
    with pytest.raises(openai.NotFoundError):
        await client.evals.runs.retrieve(run.id, eval_id=eval_id)
    other = await made_eval(client)
    run = await client.evals.runs.create(eval_id, data_source=ASK)
    with pytest.raises(openai.NotFoundError):
        await client.evals.runs.retrieve(run.id, eval_id=other)
    await client.evals.delete(eval_id)
    with parts.database.session(read_only=True) as session:
        assert list(session.scalars(select(EvalRun.id))) == []


async def test_reports_are_made_of_completed_runs_and_kept(
    client: openai.AsyncOpenAI, http: httpx2.AsyncClient, parts: Services
) -> None:
    eval_id = await made_eval(client)
    runs = [await client.evals.runs.create(eval_id, data_source=ASK) for _ in range(2)]
    path = f"/v1/evals/{eval_id}/runs/{runs[0].id}"
    assert (await http.get(f"{path}/report")).status_code == 409
    body = {"baseline": runs[0].id, "candidate": runs[1].id, "alpha": 0.1}
    early = await http.post("/v1/evals/comparisons", json=body)
    assert (early.status_code, early.json()["error"]["param"]) == (409, "baseline")
    with parts.database.session() as session:
        session.execute(update(EvalRun).values(status="completed", summary={"graders": []}))
    assert (await http.get(f"{path}/report")).json() == {"run": runs[0].id}
    assert (await http.get(f"{path}/page")).text == f"<p>{runs[0].id}</p>"
    compared = (await http.post("/v1/evals/comparisons", json=body)).json()
    assert (compared["object"], compared["settings"]) == ("eval.comparison", {"alpha": 0.1})
    assert compared["report"]["candidate"] == runs[1].id
    again = (await http.get(f"/v1/evals/comparisons/{compared['id']}")).json()
    assert again == compared
    page = await http.get(f"/v1/evals/comparisons/{compared['id']}/page")
    assert page.text == "<p>compared</p>"
    listed = (await http.get("/v1/evals/comparisons")).json()["data"]
    assert [(row["id"], row["report"]) for row in listed] == [(compared["id"], {})]


async def test_graders_are_checked_and_tried(client: openai.AsyncOpenAI, parts: Services) -> None:
    graders = client.fine_tuning.alpha.graders
    grader: Any = CHECK
    checked: Any = (await graders.validate(grader=grader)).grader
    assert checked.to_dict() == CHECK
    with pytest.raises(openai.BadRequestError, match="operation"):
        await graders.validate(grader=cast(Any, {**CHECK, "operation": "?"}))
    evaluator = cast(FakeEvaluator, parts.evaluator)
    told = await graders.run(grader=grader, model_sample="Paris!", item={"answer": "Paris"})
    assert (told.reward, told.metadata.name, told.metadata.errors.other_error) == (
        1.0,
        "right",
        False,
    )
    assert evaluator.asked == [(CHECK, {"answer": "Paris"}, "Paris!")]
    with pytest.raises(openai.BadRequestError, match=r"item\.answer"):
        await graders.run(grader=grader, model_sample="Paris!", item={"reply": "Paris"})
    evaluator.graded = GradedAnswer(None, None, {}, {"code": "api_error", "message": "down"})
    told = await graders.run(grader=grader, model_sample="Paris!", item={"answer": "Paris"})
    assert (told.reward, told.metadata.errors.api_model_grader_server_error) == (0.0, True)


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"properties": {"q": {"pattern": "^(?:a|aa)+$"}}}, "took longer than"),
        ({"$ref": "#"}, "refers to itself"),
    ],
)
async def test_an_item_schema_that_cannot_be_held_against_an_item_is_refused(
    http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("deployments.json_schemas.MATCH_SECONDS", 0.05)
    grader = {
        "type": "string_check",
        "name": "a",
        "operation": "eq",
        "input": "x",
        "reference": "x",
    }
    config = {"type": "custom", "item_schema": {"type": "object", **schema}}
    body = {"data_source_config": config, "testing_criteria": [grader]}
    made = await http.post("/v1/evals", json=body)
    assert made.status_code == 201, made.text
    content = [{"item": {"q": "a" * 60 + "!"}}]
    source = {"type": "jsonl", "source": {"type": "file_content", "content": content}}
    run = await http.post(f"/v1/evals/{made.json()['id']}/runs", json={"data_source": source})
    assert (run.status_code, says in run.json()["error"]["message"]) == (400, True), run.text
