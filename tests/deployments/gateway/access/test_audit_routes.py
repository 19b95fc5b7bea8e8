"""`/v1/audit`: each change leaves its event, and nobody sees another project's."""

from typing import Any

import httpx2
import openai
import pytest
from sqlalchemy import select

from cluster.actor import acting_as
from cluster.audit import check_chain
from cluster.database import Database
from cluster.records import (
    AuditEvent,
    DriftMonitor,
    Eval,
    EvalRun,
    Experiment,
    ResponseRecord,
)
from cluster.tenancy import acting_in
from deployments.experiments import changes
from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan
from deployments.gateway.registry.moves import Move, apply_move
from deployments.gateway.services import Services
from tests.fakes.adapters import add_adapter
from tests.fixtures.feedback import kept_trace
from tests.fixtures.keys import add_key, add_project, bearer

Headers = dict[str, str]
BASE = "smollm2-135m-instruct"


async def listed(http: httpx2.AsyncClient, headers: Headers, **query: Any) -> list[dict[str, Any]]:
    answer = await http.get("/v1/audit", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


async def done(
    http: httpx2.AsyncClient, headers: Headers, method: str, path: str, body: Any = None
) -> Any:
    answer = await http.request(method, f"/v1{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_every_kind_of_change_leaves_its_event(
    http: httpx2.AsyncClient, parts: Services, database: Database
) -> None:
    """By one key, one after the other; who, what and to what."""
    key_id, key = add_key(database, "admin")
    headers = bearer(key)
    client = openai.AsyncOpenAI(
        base_url="http://everloop/v1", api_key=key, http_client=http, max_retries=0
    )
    adapter = add_adapter(parts.database, parts.storage, b"one")
    file = await client.files.create(file=("a.txt", b"text"), purpose="user_data")
    store = await client.vector_stores.create(name="docs", file_ids=[file.id])
    await client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    await client.vector_stores.delete(store.id)
    await client.files.delete(file.id)
    trace = await kept_trace(parts)
    opinion = {"trace_id": trace, "thumbs": "up"}
    feedback = await done(http, headers, "POST", "/feedback", opinion)
    await done(http, headers, "DELETE", f"/feedback/{feedback['id']}")
    await done(http, headers, "DELETE", f"/traces/{trace}")
    await done(http, headers, "POST", "/aliases", {"name": "mine", "target": BASE})
    move = {"target": adapter, "override": True, "reason": "a test"}
    await done(http, headers, "POST", "/aliases/mine/promote", move)
    await done(http, headers, "POST", "/aliases/mine/rollback", {})
    await done(http, headers, "DELETE", "/aliases/mine")
    await done(http, headers, "DELETE", f"/adapters/{adapter}")
    said = {"messages": [{"role": "user", "content": "Hello"}], "label": "production"}
    prompt = {"name": "greet", "version": said}
    made = await done(http, headers, "POST", "/prompts", prompt)
    await done(http, headers, "DELETE", "/prompts/greet/labels/production")
    await done(http, headers, "DELETE", "/prompts/greet")
    events = await listed(http, headers, order="asc", limit=100)
    assert [(event["action"], event["object_id"]) for event in events] == [
        ("key.created", key_id),
        ("file.created", file.id),
        ("vector_store.file_deleted", store.id),
        ("vector_store.deleted", store.id),
        ("file.deleted", file.id),
        ("feedback.deleted", feedback["id"]),
        ("trace.deleted", trace),
        ("alias.created", "mine"),
        ("alias.override", "mine"),
        ("alias.rollback", "mine"),
        ("alias.deleted", "mine"),
        ("adapter.deleted", adapter),
        ("prompt.created", made["id"]),
        ("prompt.version_created", made["id"]),
        ("prompt.label_created", made["id"]),
        ("prompt.label_deleted", made["id"]),
        ("prompt.deleted", made["id"]),
    ]
    assert {event["actor"] for event in events[1:]} == {key_id}
    moved = next(event for event in events if event["action"] == "alias.override")
    assert moved["detail"]["source"] == BASE
    assert moved["detail"]["target"] == adapter
    assert moved["detail"]["reason"] == "a test"
    assert moved["request_id"]
    assert check_chain(events).reason is None
    verified = await done(http, headers, "GET", "/audit/verify")
    assert (verified["valid"], verified["events"]) == (True, len(events))
    assert verified["head"] == events[-1]["digest"]


async def test_deleting_what_was_judged_and_said_leaves_its_event(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    with database.session() as session:
        session.add(Eval(id="eval_1", data_source_config={}, testing_criteria=[]))
        session.flush()
        for run in ("evalrun_1", "evalrun_2"):
            session.add(EvalRun(id=run, eval_id="eval_1", data_source={}))
        session.add(ResponseRecord(id="resp_1", body={}, messages=[]))
        session.add(DriftMonitor(id="monitor_1", name="m", settings={}))
    for path in (
        "/evals/eval_1/runs/evalrun_1",
        "/evals/eval_1",
        "/responses/resp_1",
        "/drift/monitors/monitor_1",
    ):
        await done(http, operator, "DELETE", path)
    events = await listed(http, operator, order="asc")
    assert [(event["action"], event["object_id"]) for event in events[1:]] == [
        ("eval.run_deleted", "evalrun_1"),
        ("eval.deleted", "eval_1"),
        ("response.deleted", "resp_1"),
        ("drift.monitor_deleted", "monitor_1"),
    ]


async def test_what_an_experiment_does_stands_in_the_log_of_its_project(
    database: Database,
) -> None:
    """By a person, and by the Monitor, for which no project acts."""
    arms = [Arm(name="control"), Arm(name="other", retrieval={"mode": "bm25"})]
    plan = Plan.model_validate({"metric": {"name": "trace:latency_ms", "high": 1, "wait_s": 1}})
    with acting_in("proj_a"), acting_as("key_1"), database.session() as session:
        row = changes.make_experiment(
            session, name="x", alias="assistant", arms=arms, plan=plan, meta={}
        )
        changes.start(session, row, arms, 0)
    with database.session() as session:
        row = session.get_one(Experiment, row.id)
        changes.conclude(session, row, "stopped", {"outcome": "alias_moved", "reason": "It moved."})
    with acting_in("proj_a"), database.session(read_only=True) as session:
        events = session.scalars(select(AuditEvent).order_by(AuditEvent.number)).all()
    assert [(event.actor, event.action) for event in events] == [
        ("key_1", "experiment.created"),
        ("key_1", "experiment.started"),
        ("system", "experiment.stopped"),
    ]
    assert {event.object_id for event in events} == {row.id}


async def test_a_promotion_by_a_gate_names_it(database: Database) -> None:
    with acting_as("system", "req_1"), database.session() as session:
        apply_move(session, Move("assistant", "ft:x", "promoted", None, "gate_1"), None)
    with database.session(read_only=True) as session:
        (event,) = session.scalars(select(AuditEvent))
    assert (event.actor, event.action, event.object_id) == (
        "system",
        "alias.promoted",
        "assistant",
    )
    assert (event.detail["gate"], event.detail["target"]) == ("gate_1", "ft:x")


async def test_a_request_that_fails_leaves_no_event(
    http: httpx2.AsyncClient, operator: Headers
) -> None:
    before = await listed(http, operator)
    answer = await http.delete("/v1/files/file-none", headers=operator)
    assert answer.status_code == 404
    assert await listed(http, operator) == before


async def test_events_are_filtered_and_paged(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    made = [await done(http, operator, "POST", "/projects", {"name": str(n)}) for n in range(3)]
    await done(http, operator, "POST", f"/projects/{made[0]['id']}", {"metadata": {}})
    assert len(await listed(http, operator, action="project.created")) == 3
    assert len(await listed(http, operator, action="project.")) == 4
    assert await listed(http, operator, action="project") == []
    (updated,) = await listed(http, operator, action="project.updated", object_id=made[0]["id"])
    assert len(await listed(http, operator, actor=updated["actor"])) == 4
    assert await listed(http, operator, actor="cli") == []
    assert await listed(http, operator, since=updated["created_at"] + 100) == []
    assert await listed(http, operator, until=1) == []
    first = await listed(http, operator, limit=2)
    rest = await listed(http, operator, limit=10, after=first[-1]["id"])
    numbers = [event["number"] for event in first + rest]
    assert numbers == sorted(numbers, reverse=True)
    assert len(numbers) == 5
    wrong = await http.get("/v1/audit", params={"after": "audit_x"}, headers=operator)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "after")


async def test_a_project_sees_its_own_events_only(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    ours, theirs = add_project(database, "ours"), add_project(database, "theirs")
    key_id, key = add_key(database, "admin", project=ours)
    headers = bearer(key)
    assert [event["object_id"] for event in await listed(http, headers)] == [key_id]
    for path in ("/v1/audit", "/v1/audit/verify"):
        for project in (theirs, "proj_default", "proj_nowhere"):
            answer = await http.get(path, params={"project": project}, headers=headers)
            assert answer.status_code == 404
    seen = await listed(http, operator, project=ours)
    assert [event["object_id"] for event in seen] == [key_id]
    verified = await done(http, operator, "GET", f"/audit/verify?project={ours}")
    assert (verified["valid"], verified["events"]) == (True, 1)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nothing_changes_the_log(
    http: httpx2.AsyncClient, operator: Headers, method: str
) -> None:
    answer = await http.request(method, "/v1/audit", headers=operator)
    assert answer.status_code == 405
