"""What answers do without while models are pressed, over the whole application."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.records import Trace, VectorStore, VectorStoreFile
from cluster.sections.limits import LimitsSettings
from cluster.settings import AccessSettings, ModelSettings, Settings, TracingSettings
from cluster.storage import ByteStore
from deployments.gateway.app import create_app
from deployments.gateway.grounding.answer_request import ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.earlier import EarlierAnswers
from deployments.gateway.queued_model import QueuedModel
from deployments.gateway.services import Services
from deployments.limits.kept_answers import KeptAnswers
from deployments.limits.model_queue import Capacity, ModelQueue
from deployments.prompts import PromptLibrary
from deployments.prompts.book import PromptBook
from deployments.tracing.writer import TraceWriter
from tests.deployments.grounding.conftest import MODEL, Stage
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage
from tests.fakes.embedder import BrokenEmbedder
from tests.fakes.parts import FakeEmbedder, FakeEvaluator

SMALL = "small-model"
SEARCH = {"vector_store_ids": ["vs_1"]}
DEGRADED = "x-everloop-degraded"


class SetQueue(ModelQueue):
    """A queue that says what a test sets."""

    def __init__(self) -> None:
        super().__init__(Capacity(8), max_waiting=8, max_waiting_per_project=8)
        self.said = 0.0

    def pressure(self, project_id: str, deadline_s: float, *, background: bool = False) -> float:
        return self.said

    def refuses(self, project_id: str, deadline_s: float, *, background: bool = False) -> bool:
        return self.said >= 1


class Pressed:
    """The application over two models whose pressure is set."""

    def __init__(self, stage: Stage, database: Database, folder: Path) -> None:
        self.database = database
        self.queue, self.small_queue = SetQueue(), SetQueue()
        self.small = ScriptedModel(answer="The sky is blue, in short.")
        self.stage = stage
        stage.retriever = ScriptedRetriever(
            tuple(passage(f"The sky is blue, says number {n}.") for n in range(6))
        )
        limits = LimitsSettings(fallback_model={MODEL: SMALL})
        settings = Settings(
            data_dir=folder,
            models=(ModelSettings(id=MODEL), ModelSettings(id=SMALL)),
            access=AccessSettings(keys="off"),
            limits=limits,
            tracing=TracingSettings(flush_interval_s=0.01),
        )
        models = {
            MODEL: QueuedModel(stage.model, self.queue),
            SMALL: QueuedModel(self.small, self.small_queue),
        }
        kept = KeptAnswers(8, 60)
        self.parts = Services(
            settings=settings,
            database=database,
            storage=ByteStore(settings.storage_url),
            models=models,
            embedder=FakeEmbedder(),
            retriever=stage.retriever,
            ingestor=cast(Any, None),
            evaluator=FakeEvaluator(),
            traces=TraceWriter(database, flush_interval_s=0.01),
            answerer=GroundedAnswerer(
                retriever=stage.retriever,
                profiles={
                    name: ChatProfile(model, stage.counter, 2048) for name, model in models.items()
                },
                embedder=BrokenEmbedder(),
                prompts=PromptLibrary(),
                evaluator=stage.evaluator,
                settings=stage.settings,
                earlier=EarlierAnswers(kept, database),
                fewer_passages=limits.fewer_passages,
            ),
            kept=kept,
            prompts=PromptBook(database),
        )
        transport = httpx2.ASGITransport(app=create_app(self.parts), raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://everloop")

    async def ask(
        self, question: str = "Which colour is the sky?", grounded: bool = True, **headers: str
    ) -> httpx2.Response:
        body: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": question}],
        }
        if grounded:
            body["file_search"] = SEARCH
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post("/v1/chat/completions", json=body, headers=named)

    def change_document(self, number: int) -> None:
        """Put a new version of a document into the store."""
        with self.database.session() as session:
            session.merge(VectorStore(id="vs_1"))
            session.flush()
            session.add(
                VectorStoreFile(
                    number=number,
                    store_id="vs_1",
                    file_id=f"file-{number}",
                    document_key="a",
                    filename="a",
                    live=True,
                )
            )


@pytest.fixture
async def pressed(stage: Stage, tmp_path: Path) -> AsyncIterator[Pressed]:
    database = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=2)
    database.migrate()
    async with AsyncExitStack() as stack:
        made = Pressed(stage, database, tmp_path)
        await stack.enter_async_context(made.http)
        yield made
        await made.parts.traces.close()
        await made.parts.limiter.ledger.close()
    database.close()


def text_of(answer: httpx2.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


async def test_nothing_is_given_up_without_pressure(pressed: Pressed) -> None:
    answer = await pressed.ask()
    assert answer.status_code == 200
    assert DEGRADED not in answer.headers
    assert pressed.stage.retriever.requests[-1].limit == 4


async def test_first_passages_and_reranking(pressed: Pressed) -> None:
    pressed.queue.said = 0.3
    answer = await pressed.ask()
    assert answer.headers[DEGRADED] == "fewer_passages"
    asked = pressed.stage.retriever.requests[-1]
    assert (asked.limit, asked.rerank) == (2, False)
    await pressed.parts.traces.flush()
    with pressed.database.session(read_only=True) as session:
        trace = session.scalars(select(Trace)).one()
    assert trace.body["degraded"] == ["fewer_passages"]


async def test_then_an_earlier_answer_also_where_all_others_are_refused(pressed: Pressed) -> None:
    pressed.change_document(1)
    first = await pressed.ask()
    for pressure in (0.6, 5.0):
        pressed.queue.said = pressed.small_queue.said = pressure
        again = await pressed.ask()
        assert again.status_code == 200
        assert again.headers[DEGRADED] == "cached_answer"
        assert text_of(again) == text_of(first)
        message = again.json()["choices"][0]["message"]
        assert message["annotations"] == first.json()["choices"][0]["message"]["annotations"]
        assert again.json()["usage"]["total_tokens"] == 0
    assert len(pressed.stage.model.calls) == 1
    other = await pressed.ask("Which colour is the sea?")
    assert other.status_code == 429
    assert other.json()["error"]["code"] == "overloaded"
    assert len(pressed.stage.retriever.requests) == 1, "it was refused before a search"


async def test_a_changed_document_makes_an_earlier_answer_void(pressed: Pressed) -> None:
    pressed.change_document(1)
    await pressed.ask()
    pressed.change_document(2)
    pressed.queue.said = pressed.small_queue.said = 0.6
    answer = await pressed.ask()
    assert answer.headers[DEGRADED] == "fewer_passages"


async def test_an_answer_with_less_is_not_kept(pressed: Pressed) -> None:
    pressed.queue.said = pressed.small_queue.said = 0.3
    await pressed.ask()
    pressed.queue.said = pressed.small_queue.said = 0.6
    assert (await pressed.ask()).headers[DEGRADED] == "fewer_passages"


@pytest.mark.parametrize("grounded", [True, False])
async def test_last_a_smaller_model_which_the_answer_names(
    pressed: Pressed, grounded: bool
) -> None:
    pressed.queue.said = 5.0
    answer = await pressed.ask(grounded=grounded)
    assert answer.status_code == 200
    assert "smaller_model" in answer.headers[DEGRADED]
    assert len(pressed.small.calls) == 1
    assert pressed.small.calls[0].body["model"] == SMALL
    assert not pressed.stage.model.calls


async def test_responses_name_it_too(pressed: Pressed) -> None:
    pressed.queue.said = 5.0
    body = {"model": MODEL, "input": "Hello?"}
    answer = await pressed.http.post("/v1/responses", json=body)
    assert answer.json()["model"] == SMALL
    assert answer.headers[DEGRADED] == "smaller_model"


async def test_who_wants_a_whole_answer_or_none_gets_none(pressed: Pressed) -> None:
    pressed.change_document(1)
    await pressed.ask()
    pressed.queue.said = pressed.small_queue.said = 5.0
    refused = await pressed.ask(x_everloop_degrade="no")
    assert refused.status_code == 429
    assert DEGRADED not in refused.headers
    pressed.small_queue.said = 0.0
    assert (await pressed.ask(x_everloop_degrade="no")).status_code == 429
    pressed.queue.said = 0.9
    whole = await pressed.ask(x_everloop_degrade="no")
    assert whole.status_code == 200
    assert DEGRADED not in whole.headers


async def test_background_requests_are_answered_whole_or_not(pressed: Pressed) -> None:
    pressed.queue.said = 0.9
    answer = await pressed.ask(x_everloop_priority="background")
    assert answer.status_code == 200
    assert DEGRADED not in answer.headers


async def test_the_model_gets_the_time_that_search_and_waiting_left(pressed: Pressed) -> None:
    answer = await pressed.ask(x_request_timeout="7")
    assert answer.status_code == 200
    searched = pressed.stage.retriever.requests[-1].deadline_s
    called = pressed.stage.model.calls[-1].deadline_s
    assert searched is not None
    assert 0 < called < searched < 7
