"""The real gateway over a light model and a light retriever, in a process of its own.

    python -m tests.benchmarks.light_gateway --port 8123 --folder /tmp/one --database URL

Records, bytes, routes, grounding and traces are the real ones. `--untraced` leaves out everything
that a trace costs: its inputs are not kept, and it is not written.
"""

import argparse
import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, cast

import uvicorn

from cluster.adapters import AdapterFiles
from cluster.database import Database
from cluster.models import ensure_model
from cluster.settings import (
    AccessSettings,
    Bounds,
    GuardsSettings,
    LimitsSettings,
    ModelSettings,
    Settings,
    TracingSettings,
    load_settings,
)
from cluster.storage import ByteStore
from deployments.gateway.app import create_app
from deployments.gateway.grounding.answer_request import ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.queued_model import QueuedModel, queue_of
from deployments.gateway.services import Services
from deployments.model.messages import ModelCall, ModelLoad, Part, Usage
from deployments.ports import ChatModel
from deployments.prompts import PromptLibrary
from deployments.prompts.book import PromptBook
from deployments.retriever.messages import RetrievedPassage, SearchRequest, SearchResult
from deployments.tracing.draft import TraceDraft
from deployments.tracing.writer import TraceWriter
from tests.fakes.parts import FakeEmbedder, FakeEvaluator

__all__ = ["MODEL"]

MODEL: Final = "light"
_WIDE: Final = Bounds(
    requests_per_minute=10**6,
    tokens_per_minute=10**9,
    concurrent_requests=1000,
    tokens_per_month=10**12,
)
"""Quotas that are counted and never reached."""
_ANSWER: Final = "Parental leave lasts fourteen weeks . It is paid by the insurance fund ."
_WORDS: Final = tuple(_ANSWER.split())
_PASSAGE: Final = (
    "Parental leave lasts fourteen weeks from 2021 on, see section 4.2 of the handbook. It is paid "
    "by the insurance fund, and the form 12-33 is to be handed in ten days before it begins. "
)


class LightModel:
    """Says the same two sentences in vLLM's shapes, by default a word every 2 ms.

    `slots` calls at once, as an engine has them; further ones wait, without a bound.
    """

    def __init__(self, slots: int = 1024, service_s: float = 0.03) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._capacity = slots
        self._word_s = service_s / len(_WORDS)

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        """See `ChatModel.generate`."""
        async with self._slots:
            async for part in self._answer(call):
                yield part

    async def _answer(self, call: ModelCall) -> AsyncIterator[Part]:
        streamed = bool(call.body.get("stream"))
        for word in _WORDS:
            await asyncio.sleep(self._word_s)
            if streamed:
                yield Part(_event([{"index": 0, "delta": {"content": f" {word}"}}]))
        usage = {"prompt_tokens": 40, "completion_tokens": len(_WORDS)}
        counted = Usage(40, len(_WORDS))
        if streamed:
            end = _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
            yield Part(end + _event([], usage=usage) + b"data: [DONE]\n\n", counted)
            return
        message = {"role": "assistant", "content": _ANSWER}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        yield Part(json.dumps({"choices": choices, "usage": usage}).encode(), counted)

    async def forget(self, adapter_id: str) -> int:
        return 1

    async def prepare(self, adapter: AdapterFiles) -> int:
        """See `ChatModel.prepare`."""
        return 1

    async def load(self) -> ModelLoad:
        """See `ChatModel.load`."""
        return ModelLoad(replicas=1, capacity=self._capacity)


class LightRetriever:
    """Finds the same eight passages of 1,200 characters."""

    def __init__(self) -> None:
        self._found = tuple(
            RetrievedPassage(
                id=f"passage-{number}",
                text=f"Chapter {number}. " + _PASSAGE * 7,
                score=0.9 - number / 20,
                file_id=f"file-{number}",
                filename=f"handbook-{number}.pdf",
                store_id="vs_light",
                ordinal=number,
                start=0,
                end=1200,
                dense_score=0.8,
                bm25_score=3.0,
            )
            for number in range(8)
        )

    async def search(self, request: SearchRequest) -> SearchResult:
        """See `PassageSearch.search`."""
        return SearchResult(self._found, {"embed": 1.0, "dense": 1.0, "bm25": 1.0, "total": 2.0})

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """See `PassageSearch.rerank`."""
        return [0.0] * len(documents)

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        """See `PassageSearch.contents`."""
        return []

    async def check(self) -> None:
        """See `PassageSearch.check`."""


class _Untraced(TraceWriter):
    """Records nothing."""

    def record(self, draft: TraceDraft) -> None:
        draft.finish()


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


def _services(options: argparse.Namespace) -> Services:
    tracing = TracingSettings(max_buffered=options.buffer, mask=options.mask)
    if options.untraced:
        _leave_inputs_out()
    keys: Literal["required", "off"] = "required" if options.trusted else options.keys
    settings = Settings(
        data_dir=options.folder,
        models=(ModelSettings(id=MODEL, max_ongoing_requests=options.slots),),
        access=AccessSettings(keys=keys),
        guards=GuardsSettings(enabled=options.trusted),
        limits=LimitsSettings(key=_WIDE, project=_WIDE) if options.trusted else LimitsSettings(),
        tracing=tracing,
    )
    database = Database(options.database)
    retriever, embedder = LightRetriever(), FakeEmbedder(dimension=384)
    folder = ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir)
    counter = TokenCounter(folder)
    light = LightModel(options.slots, options.service_ms / 1000)
    model: ChatModel = light
    if not options.unqueued:
        model = QueuedModel(
            light, queue_of(settings.models[0], settings.limits, 1), counter=counter
        )
    writer = _Untraced if options.untraced else TraceWriter
    return Services(
        settings=settings,
        database=database,
        storage=ByteStore(settings.storage_url),
        models={MODEL: model},
        embedder=embedder,
        retriever=retriever,
        ingestor=cast(Any, None),
        evaluator=FakeEvaluator(),
        traces=writer.of(database, tracing),
        answerer=GroundedAnswerer(
            retriever=retriever,
            profiles={MODEL: ChatProfile(model, counter, 8192)},
            embedder=embedder,
            prompts=PromptLibrary(),
            evaluator=FakeEvaluator(),
            settings=settings.grounding,
            sample_rate=0.0,
        ),
        prompts=PromptBook(database),
    )


def _leave_inputs_out() -> None:
    from deployments.gateway.routes import chat

    setattr(chat, "request_input", lambda *_: {})  # noqa: B010 - a module's name


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--database", required=True, help="URL of records at the newest schema")
    parser.add_argument("--buffer", type=int, default=TracingSettings().max_buffered)
    parser.add_argument("--mask", choices=("off", "mask"), default="off")
    parser.add_argument("--untraced", action="store_true")
    parser.add_argument("--slots", type=int, default=1024, help="calls the model takes at once")
    parser.add_argument("--service-ms", type=float, default=30.0, help="of one call")
    parser.add_argument("--unqueued", action="store_true", help="without queues before the model")
    parser.add_argument("--keys", choices=("off", "required"), default="off")
    parser.add_argument("--trusted", action="store_true", help="keys, quotas, guards")
    options = parser.parse_args()
    app = create_app(_services(options))
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
