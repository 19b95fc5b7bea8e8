"""`/v1/experiments`, and what an experiment does to the traffic of its alias."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import Adapter, Alert, AliasMove, Experiment, GateRun, Trace
from cluster.tenancy import acting_in
from deployments.errors import RequestError, Unavailable
from deployments.experiments.duty import ExperimentDuty
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from deployments.limits.lease import Lease, current_lease
from deployments.model.messages import ModelCall, Part, Usage
from deployments.monitor.duty import MonitorParts
from deployments.monitor.monitor import Monitor
from deployments.tracing.writer import TraceWriter
from tests.fakes.adapters import add_adapter
from tests.fixtures.steady import steadily

BASE = "smollm2-135m-instruct"
RATE = 50.0
"""Requests a second, of both arms together."""


def told(text: str) -> bytes:
    return json.dumps({"choices": [{"index": 0, "message": {"content": text}}]}).encode()


@dataclass
class TwoModels:
    """The base says `good`; an adapter on it says `other`, or fails."""

    good: str = "The sky is blue."
    other: str = "Indeed, blue."
    failure: RequestError | None = None
    hold: asyncio.Event | None = None
    """The adapter's answers wait for this."""
    calls: list[ModelCall] = field(default_factory=list)
    leases: list[Lease | None] = field(default_factory=list)
    """Who each call counts for."""

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        self.calls.append(call)
        self.leases.append(current_lease())
        if call.adapter is not None:
            if self.hold is not None:
                await self.hold.wait()
            if self.failure is not None:
                raise self.failure
        text = self.good if call.adapter is None else self.other
        yield Part(told(text), usage=Usage(3, len(text.split())))

    async def forget(self, _adapter_id: str) -> int:
        return 1

    async def prepare(self, _adapter: object) -> int:
        return 1


@dataclass
class Trainer:
    """Counts how often it was told to look."""

    woken: int = 0

    async def wake(self) -> None:
        self.woken += 1


@pytest.fixture
def model() -> TwoModels:
    return TwoModels()


@pytest.fixture
def app(parts: Services, model: TwoModels) -> FastAPI:
    """The application, whose model is two, and whose traces wait as long as in production."""
    object.__setattr__(parts, "models", {BASE: model})
    object.__setattr__(parts, "traces", TraceWriter(parts.database))
    return create_app(parts)


@pytest.fixture
def adapter(parts: Services) -> str:
    return add_adapter(parts.database, parts.storage, b"arm")


def duty(parts: Services, trainer: Trainer | None = None) -> ExperimentDuty:
    return ExperimentDuty(
        MonitorParts(
            settings=parts.settings,
            database=parts.database,
            storage=parts.storage,
            embedder=parts.embedder,
            evaluator=parts.evaluator,
            trainer=cast(Any, trainer or Trainer()),
            ingestor=cast(Any, None),
            models={},
        )
    )


def body(adapter: str, **more: Any) -> dict[str, Any]:
    settings = {"metric": {"name": "trace:empty", "wait_s": 1.0}, **more.pop("settings", {})}
    arms = [{"name": "control"}, {"name": "tuned", "model": adapter}]
    return {"alias": "assistant", "arms": arms, "settings": settings, "start": True, **more}


async def create(http: httpx2.AsyncClient, given: dict[str, Any]) -> dict[str, Any]:
    answer = await http.post("/v1/experiments", json=given)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def ask(
    http: httpx2.AsyncClient, user: str, model: str = "assistant", **headers: str
) -> httpx2.Response:
    asked = {"model": model, "messages": [{"role": "user", "content": "Which colour?"}]}
    return await http.post(
        "/v1/chat/completions", json=asked, headers={"x-everloop-user": user, **headers}
    )


async def traces(parts: Services, experiment: str) -> list[Trace]:
    await parts.traces.flush()
    return await parts.database.run(
        lambda session: list(
            session.scalars(select(Trace).where(Trace.experiment_id == experiment))
        ),
        read_only=True,
    )


async def shadows_done(parts: Services) -> None:
    while parts.shadows.running:  # noqa: ASYNC110 - nothing says when they are
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("breaks", ["errors", "empty answers"])
async def test_an_arm_that_breaks_is_stopped_within_50_of_its_requests(
    breaks: str, http: httpx2.AsyncClient, parts: Services, model: TwoModels, adapter: str
) -> None:
    made = await create(http, body(adapter))
    monitor = Monitor([duty(parts)])
    running = asyncio.ensure_future(monitor.run())
    users = (f"user {number}" for number in range(10_000))

    async def next_user() -> None:
        await ask(http, next(users))

    async def served_well() -> bool:
        return len(await traces(parts, made["id"])) > 40

    async def arm_stopped() -> bool:
        read = await parts.database.run(
            lambda session: session.get_one(Experiment, made["id"]), read_only=True
        )
        return "tuned" in read.state["stopped"]

    try:
        await steadily(next_user, served_well, rate=RATE)
        before = sum(trace.arm == "tuned" for trace in await traces(parts, made["id"]))
        assert before > 5
        if breaks == "errors":
            model.failure = Unavailable("broken", code="broken")
        else:
            model.other = ""
        await steadily(next_user, arm_stopped, rate=RATE)
        await asyncio.sleep(0.3)  # what replicas may still believe
        assert (await ask(http, "user 1")).status_code == 200
        seen = await traces(parts, made["id"])
        assert sum(trace.arm == "tuned" for trace in seen) - before < 50
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert monitor.counts["experiments"].failures == 0
    found = (await http.get(f"/v1/experiments/{made['id']}")).json()
    assert found["stopped_arms"]["tuned"]["by"] == "guardrail"
    assert found["decision"]["outcome"] == "no_arm_left"
    for number in range(20):  # all traffic is the alias's again
        assert (await ask(http, f"user {number}")).status_code == 200
    assert len(await traces(parts, made["id"])) == len(seen)
    alerts = await parts.database.run(lambda session: list(session.scalars(select(Alert))))
    assert [(alert.kind, alert.source_id) for alert in alerts] == [
        ("experiment.arm_stopped", made["id"])
    ]


async def test_users_stay_with_their_arm_and_the_trace_says_which(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    made = await create(http, body(adapter))
    arms: dict[str, set[str]] = {}
    for turn in range(3):
        for number in range(20):
            answer = await ask(http, f"user {number}")
            arms.setdefault(f"user {number}", set()).add(answer.headers["x-everloop-arm"])
            text = answer.json()["choices"][0]["message"]["content"]
            tuned = answer.headers["x-everloop-arm"] == "tuned"
            assert text == ("Indeed, blue." if tuned else "The sky is blue."), turn
    assert all(len(found) == 1 for found in arms.values())
    assert {arm for found in arms.values() for arm in found} == {"control", "tuned"}
    seen = await traces(parts, made["id"])
    assert len(seen) == 60
    assert {trace.model for trace in seen if trace.arm == "tuned"} == {adapter}
    assert {trace.model for trace in seen if trace.arm == "control"} == {BASE}
    assert {trace.alias for trace in seen} == {"assistant"}


async def test_background_requests_other_names_and_the_arm_itself_are_not_counted(
    http: httpx2.AsyncClient, parts: Services, model: TwoModels, adapter: str
) -> None:
    made = await create(http, body(adapter))
    await ask(http, "a", **{"x-everloop-priority": "background"})
    await ask(http, "b", BASE)
    await ask(http, "c", adapter)
    direct = await ask(http, "d", f"arm:{made['id']}:tuned")
    assert direct.json()["choices"][0]["message"]["content"] == "Indeed, blue."
    assert model.calls[-1].body["model"] == adapter
    assert await traces(parts, made["id"]) == []
    missing = await ask(http, "e", f"arm:{made['id']}:none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_ramp_moves_nobody_between_arms(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    settings = {"ramp": [{"share": 0.3, "units": 100_000}, {"share": 1.0}]}
    made = await create(http, body(adapter, settings=settings))
    users = [f"user {number}" for number in range(40)]
    before = {user: (await ask(http, user)).headers.get("x-everloop-arm") for user in users}
    assert 0 < sum(arm is not None for arm in before.values()) < 40
    ramped = await http.post(f"/v1/experiments/{made['id']}/ramp", json={"share": 1.0})
    assert ramped.json()["share"] == 1.0
    after = {user: (await ask(http, user)).headers.get("x-everloop-arm") for user in users}
    assert None not in after.values()
    assert all(after[user] == arm for user, arm in before.items() if arm is not None)


async def test_a_shadow_answers_after_the_user_and_nobody_waits_for_it(
    http: httpx2.AsyncClient, parts: Services, model: TwoModels, adapter: str
) -> None:
    model.hold = asyncio.Event()
    arms = [{"name": "control"}, {"name": "tuned", "model": adapter, "shadow": True}]
    made = await create(http, body(adapter, arms=arms))
    answer = await ask(http, "a")
    assert answer.json()["choices"][0]["message"]["content"] == "The sky is blue."
    assert parts.shadows.running == 1
    model.hold.set()
    await shadows_done(parts)
    seen = {trace.arm: trace for trace in await traces(parts, made["id"])}
    assert seen["tuned"].shadow_of == seen["control"].id == answer.headers["x-trace-id"]
    assert (seen["tuned"].answer, seen["tuned"].user_id) == (
        "Indeed, blue.",
        seen["control"].user_id,
    )
    assert [call.background for call in model.calls] == [False, True]
    assert [lease and lease.key_id for lease in model.leases] == ["everybody", "system"]


async def test_a_shadow_that_fails_is_traced_and_too_many_are_left_out(
    http: httpx2.AsyncClient, parts: Services, model: TwoModels, adapter: str
) -> None:
    model.hold, model.failure = asyncio.Event(), Unavailable("broken", code="broken")
    arms = [{"name": "control"}, {"name": "tuned", "model": adapter, "shadow": True}]
    made = await create(http, body(adapter, arms=arms))
    most = parts.settings.experiments.max_shadows
    for number in range(most + 3):
        assert (await ask(http, f"user {number}")).status_code == 200
    assert (parts.shadows.running, parts.shadows.left_out) == (most, 3)
    model.hold.set()
    await shadows_done(parts)
    shadows = [t for t in await traces(parts, made["id"]) if t.shadow_of is not None]
    assert len(shadows) == most
    assert {(trace.status, trace.error_code) for trace in shadows} == {(503, "broken")}


async def test_an_arm_whose_adapter_is_gone_is_its_own_fault(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    made = await create(http, body(adapter))
    assert (await http.delete(f"/v1/adapters/{adapter}")).status_code == 409
    with parts.database.session() as session:  # as another release of Everloop might
        session.get_one(Adapter, adapter).deleted_at = 1
    with acting_in(DEFAULT_PROJECT):
        parts.directory.forget_adapter(adapter)
    codes = {
        (answer.status_code, answer.json().get("error", {}).get("code"))
        for answer in [await ask(http, f"user {number}") for number in range(20)]
    }
    assert codes == {(200, None), (503, "arm_unavailable")}
    failed = [trace for trace in await traces(parts, made["id"]) if trace.status == 503]
    assert {(trace.arm, trace.error_code) for trace in failed} == {("tuned", "arm_unavailable")}


async def test_one_experiment_runs_on_an_alias_at_a_time(
    http: httpx2.AsyncClient, adapter: str
) -> None:
    first = await create(http, body(adapter))
    refused = await http.post("/v1/experiments", json=body(adapter))
    assert refused.status_code == 409
    assert first["id"] in refused.json()["error"]["message"]
    second = await create(http, body(adapter, start=False))
    assert second["status"] == "draft"
    assert (await http.post(f"/v1/experiments/{second['id']}/start")).status_code == 409
    stopped = await http.post(f"/v1/experiments/{first['id']}/stop", json={"reason": "enough"})
    assert stopped.json()["decision"] == {"outcome": "stopped", "reason": "enough"}
    started = await http.post(f"/v1/experiments/{second['id']}/start")
    assert started.json()["status"] == "running"
    assert [arm["model"] for arm in started.json()["arms"]] == [BASE, adapter]
    events = (await http.get(f"/v1/experiments/{first['id']}/events")).json()["data"]
    assert [event["type"] for event in events] == ["stopped", "started", "created"]


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"alias": "nobody"}, "alias"),
        ({"arms": [{"name": "control"}]}, "arms"),
        ({"arms": [{"name": "control"}, {"name": "same"}]}, "arms"),
        ({"arms": [{"name": "control", "model": BASE}, {"name": "b", "model": BASE}]}, "arms"),
        ({"arms": [{"name": "control"}, {"name": "b", "model": "nothing"}]}, "arms.1.model"),
        ({"arms": [{"name": "control"}, {"name": "b", "model": "assistant"}]}, "arms.1.model"),
        ({"settings": {"metric": {"name": "groundedness"}}}, "settings.metric.name"),
        ({"settings": {"metric": {"name": "trace:cost"}}}, "settings.metric"),
        (
            {"settings": {"metric": {"name": "score:x"}, "promotion": {"mode": "gate"}}},
            "settings.promotion",
        ),
    ],
)
async def test_what_cannot_work_is_refused_by_its_field(
    http: httpx2.AsyncClient, adapter: str, change: dict[str, Any], param: str
) -> None:
    answer = await http.post("/v1/experiments", json={**body(adapter), **change})
    assert answer.status_code in {400, 404}, answer.text
    assert answer.json()["error"]["param"] == param


async def test_a_move_of_the_alias_ends_the_experiment_with_it(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    made = await create(http, body(adapter))
    moved = {"target": adapter, "override": True, "reason": "a test"}
    assert (await http.post("/v1/aliases/assistant/promote", json=moved)).status_code == 200
    found = (await http.get(f"/v1/experiments/{made['id']}")).json()
    assert (found["status"], found["decision"]["outcome"]) == ("stopped", "alias_moved")
    await ask(http, "a")
    assert await traces(parts, made["id"]) == []


async def test_a_person_promotes_an_arm_once_the_experiment_has_ended(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    arms = [
        {"name": "control"},
        {"name": "tuned", "model": adapter, "retrieval": {"mode": "bm25"}},
    ]
    made = await create(http, body(adapter, arms=arms))
    path = f"/v1/experiments/{made['id']}"
    assert (await http.post(f"{path}/promote", json={})).status_code == 409
    await http.post(f"{path}/stop", json={"reason": "enough"})
    assert (await http.post(f"{path}/promote", json={})).json()["error"]["code"] == "no_winner"
    unexplained = await http.post(f"{path}/promote", json={"arm": "tuned"})
    assert unexplained.json()["error"]["param"] == "reason"
    promoted = await http.post(f"{path}/promote", json={"arm": "tuned", "reason": "we like it"})
    assert (promoted.json()["target"], promoted.json()["serving"]["retrieval"]["mode"]) == (
        adapter,
        "bm25",
    )
    again = await http.post(f"{path}/promote", json={"arm": "tuned", "reason": "again"})
    assert again.json()["error"]["code"] == "alias_moved"
    moves = await parts.database.run(lambda session: list(session.scalars(select(AliasMove))))
    assert [(move.project_id, move.kind, move.reason) for move in moves] == [
        (DEFAULT_PROJECT, "override", "we like it")
    ]
    back = await http.post("/v1/aliases/assistant/rollback", json={})
    assert (back.json()["target"], back.json()["serving"]["retrieval"]["mode"]) == (BASE, None)


async def test_a_gate_that_says_so_moves_the_alias_to_the_arm_with_its_retrieval(
    http: httpx2.AsyncClient, parts: Services, adapter: str
) -> None:
    arms = [{"name": "control"}, {"name": "lexical", "retrieval": {"mode": "bm25"}}]
    made = await create(http, body(adapter, arms=arms))
    stopped = await http.post(f"/v1/experiments/{made['id']}/stop", json={"reason": "enough"})
    assert stopped.status_code == 200
    arm, gate = f"arm:{made['id']}:lexical", new_id("gate")
    with parts.database.session() as session:
        session.add(
            GateRun(
                id=gate,
                status="completed",
                alias="assistant",
                adapter_id=arm,
                champion=BASE,
                evaluation_file="file-1",
                verdict="promote",
            )
        )
    other = {"target": f"arm:{made['id']}:control", "gate": gate}
    refused = await http.post("/v1/aliases/assistant/promote", json=other)
    assert refused.json()["error"]["code"] == "gate_not_passed"
    moved = await http.post("/v1/aliases/assistant/promote", json={"target": arm, "gate": gate})
    assert moved.status_code == 200, moved.text
    assert (moved.json()["target"], moved.json()["serving"]["retrieval"]["mode"]) == (BASE, "bm25")
    (move,) = (await http.get("/v1/aliases/assistant/history")).json()["data"]
    assert (move["kind"], move["gate"]) == ("promoted", gate)
    assert (await http.get(f"/v1/gate_runs/{gate}")).json()["promoted"]
    own = {"target": adapter, "override": True, "reason": "weights alone"}
    kept = await http.post("/v1/aliases/assistant/promote", json=own)
    assert kept.json()["serving"]["retrieval"]["mode"] == "bm25"
    given = {**own, "target": BASE, "serving": {"retrieval": {"mode": "dense"}}}
    replaced = await http.post("/v1/aliases/assistant/promote", json=given)
    assert replaced.json()["serving"]["retrieval"]["mode"] == "dense"
    with_gate = {"target": arm, "gate": gate, "serving": {}}
    neither = await http.post("/v1/aliases/assistant/promote", json=with_gate)
    assert neither.json()["error"]["param"] == "serving"
