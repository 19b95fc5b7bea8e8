"""The answerer over a scripted model and retriever; the tokenizer and the prompts are real."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.models import ensure_model
from cluster.settings import GroundingSettings, load_settings
from deployments.gateway.grounding.answer_request import AnswerRequest, ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.options import FileSearch
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.prompts import PromptLibrary
from deployments.tracing.draft import TraceDraft
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage
from tests.fakes.embedder import BrokenEmbedder
from tests.fakes.parts import FakeEvaluator

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


@pytest.fixture
def stage(counter: TokenCounter) -> Stage:
    """Everything in its default state."""
    return Stage(counter)
