"""A chat model and a retriever that say what a test tells them, in the real ones' shapes."""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.adapters import AdapterFiles
from deployments.errors import RequestError
from deployments.model.messages import ModelCall, ModelLoad, Part, Usage
from deployments.retriever.messages import RetrievedPassage, SearchRequest, SearchResult


@dataclass
class ScriptedModel:
    """Streams `answer` word by word as vLLM does; fails after `fail_after` words if told to.

    `answers` come first, one a call. A call that is no stream gets one JSON body.
    """

    answer: str = "The sky is blue."
    answers: deque[str] = field(default_factory=deque)
    finish_reason: str = "stop"
    failure: RequestError | None = None
    fail_after: int = 0
    hold_after: int | None = None
    """Words after which it waits for `go`."""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[ModelCall] = field(default_factory=list)
    stopped: int = 0
    """Generations that were closed before their end."""
    at_end: Callable[[], None] = lambda: None
    """Called when a stream has said all."""

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        self.calls.append(call)
        ended = False
        answer = self.answers.popleft() if self.answers else self.answer
        words = re.findall(r"\s*\S+", answer)
        if not call.body.get("stream"):
            yield self._whole(call, answer, Usage(7, len(words)))
            return
        try:
            for position, word in enumerate(words):
                if self.failure is not None and position == self.fail_after:
                    raise self.failure
                if position == self.hold_after:
                    await self.go.wait()
                yield Part(self._event([{"index": 0, "delta": {"content": word}}]))
            last = self._event([{"index": 0, "delta": {}, "finish_reason": self.finish_reason}])
            usage = Usage(7, len(words))
            told = {"prompt_tokens": usage.prompt_tokens, "completion_tokens": len(words)}
            yield Part(last + self._event([], usage=told) + b"data: [DONE]\n\n", usage)
            ended = True
            self.at_end()
        finally:
            self.stopped += not ended

    async def forget(self, adapter_id: str) -> int:
        return 1

    async def prepare(self, adapter: AdapterFiles) -> int:
        return 1

    async def load(self) -> ModelLoad:
        return ModelLoad(replicas=1, capacity=8)

    @staticmethod
    def _whole(call: ModelCall, answer: str, usage: Usage) -> Part:
        prompt, completion = usage.prompt_tokens, usage.completion_tokens
        message = {"role": "assistant", "content": answer}
        body = {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": call.body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            },
        }
        return Part(json.dumps(body).encode(), usage)

    @staticmethod
    def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


@dataclass
class ScriptedRetriever:
    """Finds `passages`, whatever is asked."""

    passages: tuple[RetrievedPassage, ...] = ()
    failure: RequestError | None = None
    requests: list[SearchRequest] = field(default_factory=list)

    async def search(self, request: SearchRequest) -> SearchResult:
        self.requests.append(request)
        if self.failure is not None:
            raise self.failure
        found = self.passages[: request.limit]
        return SearchResult(found, {"embed": 1.0, "total": 2.0})

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        return [0.0] * len(documents)

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        return [passage.text for passage in self.passages]

    async def check(self) -> None:
        return None


def passage(
    text: str, *, number: int = 1, similarity: float | None = 0.7, **more: Any
) -> RetrievedPassage:
    """A passage of `handbook.pdf` on page `number`."""
    fields: dict[str, Any] = {
        "id": f"psg_{number}",
        "text": text,
        "score": 1.0 / number,
        "file_id": f"file-{number}",
        "filename": "handbook.pdf",
        "store_id": "vs_1",
        "ordinal": number - 1,
        "start": 0,
        "end": len(text),
        "page": number,
        "page_end": number,
        "dense_score": similarity,
    }
    return RetrievedPassage(**{**fields, **more})
