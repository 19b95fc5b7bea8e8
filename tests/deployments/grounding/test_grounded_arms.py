"""Arms with retrieval settings of their own, over the whole ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.records import Experiment, Trace
from cluster.settings import AccessSettings, Settings, TracingSettings
from cluster.storage import ByteStore
from deployments.experiments.duty import ExperimentDuty
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from deployments.monitor.duty import MonitorParts
from deployments.monitor.monitor import Monitor
from deployments.prompts.book import PromptBook
from deployments.retriever.messages import SearchRequest, SearchResult
from deployments.tracing.writer import TraceWriter
from tests.deployments.grounding.conftest import MODEL, Stage
from tests.fakes.chat import ScriptedRetriever, passage
from tests.fakes.parts import FakeEmbedder, FakeEvaluator
from tests.fixtures.steady import steadily

QUESTION = "Which colour is the sky?"
SETTINGS = {"metric": {"name": "trace:tokens", "high": 4000, "wait_s": 1.0}}


@dataclass
class Threshold(ScriptedRetriever):
    """Finds nothing where all of the score is asked for."""

    async def search(self, request: SearchRequest) -> SearchResult:
        found = await super().search(request)
        return SearchResult((), {}) if request.score_threshold == 1.0 else found


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=3)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def parts(stage: Stage, records: Database, tmp_path: Path) -> Services:
    settings = Settings(
        data_dir=tmp_path,
        access=AccessSettings(keys="off"),
        tracing=TracingSettings(flush_interval_s=0.01),
    )
    stage.retriever = Threshold((passage("The sky is blue."),))
    return Services(
        settings=settings,
        database=records,
        storage=ByteStore(settings.storage_url),
        models={MODEL: stage.model},
        embedder=FakeEmbedder(),
        retriever=stage.retriever,
        ingestor=cast(Any, None),
        evaluator=FakeEvaluator(),
        traces=TraceWriter(records, flush_interval_s=0.01),
        answerer=stage.answerer(),
        prompts=PromptBook(records),
    )


@pytest.fixture
async def http(parts: Services) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as client:
        yield client
    await parts.shadows.close()
    await parts.traces.close()


async def start(
    http: httpx2.AsyncClient, settings: dict[str, Any] | None = None, **arm: Any
) -> str:
    body = {
        "alias": "assistant",
        "arms": [{"name": "control"}, {"name": "other", **arm}],
        "settings": {**SETTINGS, **(settings or {})},
        "start": True,
    }
    made = await http.post("/v1/experiments", json=body)
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


async def chat(http: httpx2.AsyncClient, user: str) -> str:
    """The arm that answered."""
    body = {
        "model": "assistant",
        "messages": [{"role": "user", "content": QUESTION}],
        "file_search": {"vector_store_ids": ["vs_1"]},
        "user": user,
    }
    answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-everloop-arm"])


async def respond(http: httpx2.AsyncClient, user: str) -> str:
    """The arm that answered."""
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    body = {"model": "assistant", "input": QUESTION, "tools": [tool], "user": user}
    answer = await http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.headers["x-everloop-arm"])


@pytest.mark.parametrize("route", [chat, respond])
async def test_passages_are_found_as_the_arm_says(
    route: Any, http: httpx2.AsyncClient, stage: Stage
) -> None:
    await start(http, retrieval={"mode": "bm25", "max_num_results": 2})
    seen = set()
    for number in range(16):
        arm = await route(http, f"user {number}")
        asked = stage.retriever.requests[-1]
        seen.add((arm, asked.mode, asked.limit == 2))
    assert seen == {("control", None, False), ("other", "bm25", True)}


@pytest.mark.parametrize("route", [chat, respond])
async def test_a_shadow_of_a_grounded_answer_is_scored_and_not_stored(
    route: Any, http: httpx2.AsyncClient, parts: Services, stage: Stage
) -> None:
    await start(http, shadow=True, retrieval={"mode": "dense"})
    assert await route(http, "somebody") == "control"
    while parts.shadows.running:  # noqa: ASYNC110 - nothing says when they are done
        await asyncio.sleep(0.005)
    await parts.traces.flush()
    traces = await parts.database.run(lambda session: list(session.scalars(select(Trace))))
    shadow = next(trace for trace in traces if trace.shadow_of is not None)
    assert (shadow.arm, shadow.answer, shadow.refused) == ("other", "The sky is blue.", False)
    assert stage.retriever.requests[-1].mode == "dense"
    assert shadow.body["evaluate"]
    assert sorted(stage.evaluator.submitted) == sorted(trace.id for trace in traces)


async def test_an_arm_that_refuses_is_stopped_within_50_of_its_requests(
    http: httpx2.AsyncClient, parts: Services
) -> None:
    # Against a bound of its own an arm takes 12 refusals; how many it takes against the control
    # depends on who was drawn into which arm: from 3 on.
    settings = {"guardrails": [{"fault": "refused", "max_rate": 0.5}]}
    experiment = await start(http, settings, retrieval={"score_threshold": 1.0})
    monitored = MonitorParts(
        settings=parts.settings,
        database=parts.database,
        storage=parts.storage,
        embedder=parts.embedder,
        evaluator=parts.evaluator,
        trainer=cast(Any, None),
        ingestor=cast(Any, None),
        models={},
    )
    running = asyncio.ensure_future(Monitor([ExperimentDuty(monitored)]).run())
    count = 0

    async def ask() -> None:
        nonlocal count
        count += 1
        tool = {"vector_store_ids": ["vs_1"]}
        body = {"model": "assistant", "messages": [{"role": "user", "content": QUESTION}]}
        await http.post(
            "/v1/chat/completions", json={**body, "file_search": tool, "user": f"user {count}"}
        )

    async def stopped() -> bool:
        row = await parts.database.run(lambda session: session.get_one(Experiment, experiment))
        return "other" in row.state["stopped"]

    try:
        await steadily(ask, stopped, rate=50)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await parts.traces.flush()
    arms = await parts.database.run(lambda session: list(session.scalars(select(Trace.arm))))
    assert 10 < arms.count("other") < 50
