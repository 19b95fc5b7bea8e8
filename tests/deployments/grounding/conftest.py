"""The answerer over a scripted model and retriever; the tokenizer and the prompts are real."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.models import ensure_model
from cluster.settings import (
    AccessSettings,
    GroundingSettings,
    Settings,
    TracingSettings,
    load_settings,
)
from cluster.storage import ByteStore
from deployments.gateway.app import create_app
from deployments.gateway.grounding.answer_request import AnswerRequest, ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.options import FileSearch
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.services import Services
from deployments.prompts import PromptLibrary
from deployments.prompts.book import PromptBook
from deployments.tracing.draft import TraceDraft
from deployments.tracing.writer import TraceWriter
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage
from tests.fakes.embedder import BrokenEmbedder
from tests.fakes.parts import FakeEmbedder, FakeEvaluator

MODEL = "test-model"


@pytest.fixture(scope="session")
def counter() -> TokenCounter:
    """A real tokenizer: the packaged embedding model's, which is there without a conversion."""
    folder = ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir)
    return TokenCounter(folder)


@dataclass
class Stage:
    """A GroundedAnswerer and everything around it."""

    counter: TokenCounter
    model: ScriptedModel = field(default_factory=ScriptedModel)
    retriever: ScriptedRetriever = field(
        default_factory=lambda: ScriptedRetriever((passage("The sky is blue."),))
    )
    evaluator: FakeEvaluator = field(default_factory=FakeEvaluator)
    settings: GroundingSettings = field(default_factory=GroundingSettings)
    context_tokens: int = 2048
    sample_rate: float = 1.0
    trace: TraceDraft = field(default_factory=TraceDraft)

    def answerer(self) -> GroundedAnswerer:
        return GroundedAnswerer(
            retriever=self.retriever,
            profiles={MODEL: ChatProfile(self.model, self.counter, self.context_tokens)},
            embedder=BrokenEmbedder(),
            prompts=PromptLibrary(),
            evaluator=self.evaluator,
            settings=self.settings,
            sample_rate=self.sample_rate,
        )

    def request(
        self, question: str = "Which colour is the sky?", *earlier: dict[str, Any], **options: Any
    ) -> AnswerRequest:
        return AnswerRequest(
            model=MODEL,
            messages=[*earlier, {"role": "user", "content": question}],
            search=FileSearch(vector_store_ids=("vs_1",)),
            options=options,
            request_id="req_1",
            deadline_s=10.0,
        )


class World:
    """The application over a Stage; `client` is made last, once the test has set the stage."""

    def __init__(self, stage: Stage, database: Database, folder: Path) -> None:
        self.stage = stage
        self._database = database
        self._folder = folder
        self.http: httpx2.AsyncClient | None = None

    @property
    def client(self) -> openai.AsyncOpenAI:
        settings = Settings(
            data_dir=self._folder,
            access=AccessSettings(keys="off"),
            tracing=TracingSettings(flush_interval_s=0.01),
        )
        answerer = self.stage.answerer()
        parts = Services(
            settings=settings,
            database=self._database,
            storage=ByteStore(settings.storage_url),
            models={MODEL: self.stage.model},
            embedder=FakeEmbedder(),
            retriever=self.stage.retriever,
            ingestor=cast(Any, None),
            evaluator=FakeEvaluator(),
            traces=TraceWriter(self._database, flush_interval_s=0.01),
            answerer=answerer,
            prompts=PromptBook(self._database),
        )
        transport = httpx2.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
        self.http = httpx2.AsyncClient(transport=transport, base_url="http://everloop")
        return openai.AsyncOpenAI(
            base_url="http://everloop/v1", api_key="none", http_client=self.http, max_retries=0
        )


@pytest.fixture
def stage(counter: TokenCounter) -> Stage:
    """Everything in its default state."""
    return Stage(counter)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Database]:
    """An empty database."""
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=2)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
async def world(stage: Stage, records: Database, tmp_path: Path) -> AsyncIterator[World]:
    """The application, asked over HTTP."""
    made = World(stage, records, tmp_path)
    yield made
    if made.http is not None:
        await made.http.aclose()
