"""`/v1/traces`: filters, figures, deletion; what requests leave in their traces."""

from typing import Any, cast
from unittest.mock import AsyncMock

import httpx2
import pytest

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import Feedback, LineageEdge, Trace, TraceScore, now
from deployments.gateway.services import Services
from deployments.gateway.users import digest_of
from tests.fakes.parts import FakeModel

_ANNA = digest_of("anna")


@pytest.fixture
def traces(database: Database) -> Database:
    """Six traces, t1 the oldest."""
    start = now() - 600

    def trace(number: int, **values: Any) -> Trace:
        given = {
            "id": f"trace_{number}",
            "request_id": f"req_{number}",
            "route": "/v1/responses",
            "model": "base",
            "status": 200,
            "duration_ms": 100.0 * number,
            "created_at": start + number,
            "body": {},
        }
        return Trace(**{**given, **values})

    with database.session() as session:
        session.add_all(
            [
                trace(1, question="How high is 50%?", answer="High.", user_id=_ANNA, cost=0.5),
                trace(2, model="ft:one", alias="assistant", prompt_version="qa@aaaaaaaaaaaa"),
                trace(3, status=503, error_code="overloaded", route="/v1/chat/completions"),
                trace(4, status=404, error_code="model_not_found", model=None),
                trace(5, refused=True, prompt_tokens=10, completion_tokens=4, cost=2.0),
                trace(6, refused=False, experiment_id="exp_1", arm="b", shadow_of="trace_5"),
            ]
        )
        for number, value in ((1, 0.2), (2, 0.9), (5, None)):
            session.add(
                TraceScore(
                    trace_id=f"trace_{number}", name="groundedness", value=value, evaluator="facts"
                )
            )
        session.add(Feedback(id="feedback_1", trace_id="trace_1", thumbs="down"))
        session.add(Feedback(id="feedback_2", trace_id="trace_2", thumbs="up"))
        for source, target in (("vs_1/file-1", "trace_1"), ("vs_2/file-1", "trace_2")):
            session.add(LineageEdge(source=source, target=target, kind="cited"))
    return database


_FILTERS = [
    ("", "654321"),
    ("order=asc&limit=2", "12"),
    ("route=/v1/chat/completions", "3"),
    ("model=ft:one", "2"),
    ("alias=assistant", "2"),
    ("prompt_version=qa", "2"),
    ("prompt_version=qa@aaaaaaaaaaaa", "2"),
    ("prompt_version=q", ""),
    ("status=503", "3"),
    ("status=5xx", "3"),
    ("status=4xx", "4"),
    ("status=ok", "6521"),
    ("status=error", "43"),
    ("error_code=overloaded", "3"),
    ("experiment_id=exp_1&arm=b", "6"),
    ("user=anna", "1"),
    (f"user={_ANNA}", "1"),
    ("refused=true", "5"),
    ("refused=false", "6"),
    ("shadow=true", "6"),
    ("shadow=false", "54321"),
    ("min_duration_ms=500", "65"),
    ("max_duration_ms=200", "21"),
    ("min_cost=1", "5"),
    ("score=groundedness<0.5", "1"),
    ("score=groundedness>%3D0.9", "2"),
    ("score=groundedness>0.1&score=groundedness<0.5", "1"),
    ("has_feedback=true", "21"),
    ("has_feedback=false", "6543"),
    ("thumbs=down", "1"),
    ("vector_store=vs_1", "1"),
    ("vector_store=vs_", ""),
    ("file=file-1", "21"),
    ("q=HIGH", "1"),
    ("q=50%25", "1"),
    ("q=%25", "1"),
    ("q=5_%25", ""),
]


async def test_a_list_holds_what_the_filters_leave(
    traces: Database, http: httpx2.AsyncClient
) -> None:
    found = []
    for query, _ in _FILTERS:
        answer = await http.get(f"/v1/traces?{query}")
        assert answer.status_code == 200, answer.text
        found.append((query, "".join(row["id"][-1] for row in answer.json()["data"])))
    assert found == _FILTERS


async def test_times_are_seconds_or_iso(traces: Database, http: httpx2.AsyncClient) -> None:
    rows = (await http.get("/v1/traces?order=asc")).json()["data"]
    third = rows[2]["created_at"]
    later = (await http.get(f"/v1/traces?since={third}")).json()["data"]
    assert [row["id"] for row in later] == ["trace_6", "trace_5", "trace_4", "trace_3"]
    earlier = (await http.get(f"/v1/traces?until={third}")).json()["data"]
    assert [row["id"] for row in earlier] == ["trace_2", "trace_1"]
    ancient = await http.get("/v1/traces?until=2020-01-01T00:00:00%2B01:00")
    assert ancient.json()["data"] == []
    assert len((await http.get("/v1/traces?since=2020-01-01")).json()["data"]) == 6


_WRONG = [
    ("status=6xx", "status"),
    ("status=high", "status"),
    ("score=groundedness", "score"),
    ("score=groundedness<low", "score"),
    ("score=groundedness<1e999", "score"),
    ("since=yesterday", "since"),
    ("until=12:00", "until"),
    ("min_duration_ms=-1", "min_duration_ms"),
    ("thumbs=sideways", "thumbs"),
    ("refused=perhaps", "refused"),
]


async def test_a_filter_that_there_is_not_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/v1/traces?stauts=5xx")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "stauts"
    assert "status" in answer.json()["error"]["message"]
    assert (await http.get("/v1/traces?status=5xx&limit=1")).status_code == 200


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/traces/stats"])
async def test_a_wrong_filter_is_named(http: httpx2.AsyncClient, path: str) -> None:
    named = []
    for query, _ in _WRONG:
        answer = await http.get(f"{path}?{query}")
        assert answer.status_code == 400, answer.text
        named.append((query, answer.json()["error"]["param"]))
    assert named == _WRONG


async def test_a_trace_shows_its_scores_and_feedback(
    traces: Database, http: httpx2.AsyncClient
) -> None:
    trace = (await http.get("/v1/traces/trace_1")).json()
    assert [(s["name"], s["value"]) for s in trace["scores"]] == [("groundedness", 0.2)]
    assert [(f["id"], f["thumbs"]) for f in trace["feedback"]] == [("feedback_1", "down")]
    assert (trace["cost"], trace["prompt_tokens"]) == (0.5, None)


async def test_figures_are_of_all_and_by_group(traces: Database, http: httpx2.AsyncClient) -> None:
    stats = (await http.get("/v1/traces/stats?group_by=model&shadow=false")).json()
    total = stats["total"]
    assert (total["requests"], total["errors"], total["error_rate"]) == (5, 2, 0.4)
    assert total["refusal_rate"] == 1.0
    assert total["duration_ms"] == {"p50": 300.0, "p95": 500.0, "p99": 500.0, "mean": 300.0}
    assert (total["prompt_tokens"], total["completion_tokens"], total["cost"]) == (10, 4, 2.5)
    groups = {group["key"]: group for group in stats["groups"]}
    assert {key: group["requests"] for key, group in groups.items()} == {
        "base": 3,
        "ft:one": 1,
        None: 1,
    }
    assert stats["groups"][0]["key"] == "base", "the largest first"
    assert groups["ft:one"]["refusal_rate"] is None
    assert stats["replica"]["dropped"] == 0


async def test_percentiles_are_by_nearest_rank(
    database: Database, http: httpx2.AsyncClient
) -> None:
    with database.session() as session:
        for number in range(200):
            session.add(
                Trace(
                    id=f"trace_{number:03}",
                    request_id="r",
                    route="/x",
                    status=499 if number < 10 else 200,
                    duration_ms=float(number + 1),
                    created_at=now() - 10,
                )
            )
    total = (await http.get("/v1/traces/stats")).json()["total"]
    assert total["duration_ms"] == {"p50": 100.0, "p95": 190.0, "p99": 198.0, "mean": 100.5}
    assert (total["errors"], total["client_closed"]) == (0, 10)


async def test_figures_by_hour_are_the_latest_first(
    database: Database, http: httpx2.AsyncClient
) -> None:
    hour = (now() - 7200) // 3600 * 3600
    with database.session() as session:
        for number, at in enumerate((hour - 3600, hour, hour + 3599)):
            session.add(
                Trace(id=f"t{number}", request_id="r", route="/x", status=200, created_at=at)
            )
    stats = (await http.get("/v1/traces/stats?group_by=hour")).json()
    assert [(g["key"], g["requests"]) for g in stats["groups"]] == [(hour, 2), (hour - 3600, 1)]


async def test_figures_of_nothing_and_of_too_long_a_time(http: httpx2.AsyncClient) -> None:
    stats = (await http.get("/v1/traces/stats?group_by=model")).json()
    assert (stats["total"]["requests"], stats["groups"]) == (0, [])
    answer = await http.get("/v1/traces/stats?since=0")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "since")


async def test_a_deleted_trace_is_gone_with_its_scores(
    traces: Database, http: httpx2.AsyncClient, parts: Services
) -> None:
    told: list[object] = []
    object.__setattr__(parts, "note_deletion", lambda kind, ids: told.append((kind, ids)))
    answer = await http.delete("/v1/traces/trace_1")
    assert told == [("trace", ["trace_1"])]
    assert answer.json() == {"id": "trace_1", "object": "trace", "deleted": True}
    assert (await http.get("/v1/traces/trace_1")).status_code == 404
    assert (await http.delete("/v1/traces/trace_1")).status_code == 404
    with traces.session() as session:
        assert session.get(TraceScore, ("trace_1", "groundedness")) is None
        assert session.get(Feedback, "feedback_1") is None
        assert session.get(TraceScore, ("trace_2", "groundedness")) is not None


@pytest.fixture
def model(parts: Services) -> FakeModel:
    """What answers, as a model does."""
    found = cast(FakeModel, next(iter(parts.models.values())))
    found.answer = '{"choices": [{"message": {"content": "So."}}]}'
    return found


async def _asked(http: httpx2.AsyncClient, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    answer = await http.post("/v1/chat/completions", json=body, headers=headers)
    trace: dict[str, Any] = (await http.get(f"/v1/traces/{answer.headers['x-trace-id']}")).json()
    return trace


async def test_a_trace_keeps_what_was_asked(http: httpx2.AsyncClient, model: FakeModel) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    body = {
        "model": "assistant",
        "messages": messages,
        "temperature": 0.5,
        "user": "anna",
    }
    trace = await _asked(http, body)
    assert trace["input"] == {"messages": messages, "options": {"temperature": 0.5}}
    assert (trace["alias"], trace["base_model"]) == ("assistant", "smollm2-135m-instruct")
    assert trace["user_id"] == _ANNA
    assert (trace["answer"], trace["status"]) == ("So.", 200)
    assert "anna" not in str(trace["input"])
    assert trace["timings_ms"]["generate"] > 0
    assert trace["began_ms"]["generate"] > 0


async def test_a_request_that_fails_says_why_in_its_trace(http: httpx2.AsyncClient) -> None:
    body = {"model": "no-such", "messages": [{"role": "user", "content": "Why?"}]}
    trace = await _asked(http, body)
    assert (trace["status"], trace["error_code"]) == (404, "model_not_found")
    assert "no-such" in trace["error"]["message"]
    assert trace["input"]["messages"] == body["messages"]


async def test_what_a_model_sends_costs_no_answer_where_it_cannot_be_read(
    http: httpx2.AsyncClient, model: FakeModel
) -> None:
    model.answer = "neither JSON nor events"
    trace = await _asked(
        http, {"model": "assistant", "messages": [{"role": "user", "content": "Why?"}]}
    )
    assert (trace["status"], trace["answer"]) == (200, None)


async def test_while_the_records_are_down_requests_are_answered_and_losses_counted(
    http: httpx2.AsyncClient,
    model: FakeModel,
    parts: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By alias and by model; once the records are back, what waited is written."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Why?"}]}
    await _asked(http, body)
    parts.directory.forget("assistant")
    await _asked(http, body)
    run = parts.database.run
    down = AsyncMock(side_effect=DatabaseError("The records are down."))
    monkeypatch.setattr(parts.database, "run", down)
    monkeypatch.setattr(parts.traces, "_max_buffered", 2)
    kept = []
    for name in ("assistant", "smollm2-135m-instruct", "assistant", "assistant"):
        answer = await http.post("/v1/chat/completions", json={**body, "model": name})
        assert answer.status_code == 200
        kept.append(answer.headers["x-trace-id"])
    async with parts.traces._writing:  # else some may be in the hands of a try that fails
        counts = parts.traces.counts()
    assert counts.dropped == 2
    assert "everloop_gateway_traces_dropped 2.0" in (await http.get("/metrics")).text
    monkeypatch.setattr(parts.database, "run", run)
    rows = (await http.get("/v1/traces")).json()["data"]
    assert len({row["id"] for row in rows} & set(kept)) == 2
    stats = (await http.get("/v1/traces/stats")).json()
    assert (stats["replica"]["dropped"], stats["replica"]["waiting"]) == (2, 0)


async def test_a_malformed_traceparent_is_not_taken(
    http: httpx2.AsyncClient, model: FakeModel
) -> None:
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Why?"}]}
    good = f"00-{'a' * 32}-{'b' * 16}-01"
    assert (await _asked(http, body, traceparent=good))["traceparent"] == good
    assert "traceparent" not in await _asked(http, body, traceparent=good + "-more")
