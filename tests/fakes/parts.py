"""Small stand-ins for the other deployments, true to their contracts in `deployments.ports`.

The real ones are tested in tests/end_to_end.
"""

import asyncio
import functools
import math
import re
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.adapters import AdapterFiles
from cluster.database import Database
from cluster.records import VectorStoreFile, now
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from deployments.errors import InvalidRequest, RequestError
from deployments.evaluator.messages import GradedAnswer, MadeReport
from deployments.model.messages import ModelCall, ModelLoad, Part, Usage
from deployments.ports import EmbeddedTexts
from deployments.retriever.messages import RetrievedPassage, SearchRequest, SearchResult
from deployments.retriever.scope import read_scope

__all__ = ["FakeEmbedder", "FakeEvaluator", "FakeIngestor", "FakeModel", "FakeRetriever"]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


@dataclass
class FakeEmbedder:
    """Hashed bags of words, unit length: texts that share words are close."""

    dimension: int = 16
    vocabulary: tuple[str, ...] = ("hello", "world", "again")
    failure: RequestError | None = None

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        if self.failure is not None:
            raise self.failure
        return EmbeddedTexts(
            vectors=[self._vector(text) for text in texts],
            tokens=[len(_words(text)) for text in texts],
        )

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        if any(token >= len(self.vocabulary) for item in tokens for token in item):
            raise InvalidRequest("No such token.", param="input")
        return [" ".join(self.vocabulary[token] for token in item) for item in tokens]

    def _vector(self, text: str) -> list[float]:
        vector = [0.0] * self.dimension
        for word in _words(text):
            vector[zlib.crc32(word.encode()) % self.dimension] += 1.0
        length = math.sqrt(sum(x * x for x in vector)) or 1.0
        return [x / length for x in vector]


@dataclass
class FakeIngestor:
    """Takes a document's paragraphs as its passages, when a test calls `work`."""

    database: Database
    storage: ByteStore
    passages: dict[int, list[str]] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    purged: list[int] = field(default_factory=list)
    failure: RequestError | None = None

    async def wake(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.woken.set()

    async def purge(self, numbers: Sequence[int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.purged += numbers
        for number in numbers:
            self.passages.pop(number, None)

    async def purge_project(self, project_id: str) -> int:
        if self.failure is not None:
            raise self.failure
        numbers = await self.database.run(
            lambda session: list(
                session.scalars(
                    select(VectorStoreFile.number).where(VectorStoreFile.project_id == project_id)
                )
            )
        )
        return sum(len(self.passages.pop(number, ())) for number in numbers)

    async def work(self) -> None:
        """Ingest everything that is queued; an empty file fails, as the real one does it."""
        for number in await self.database.run(self._queued):
            await self.database.run(functools.partial(self._ingest, number))

    def _queued(self, session: Session) -> list[int]:
        rows = select(VectorStoreFile.number).where(
            VectorStoreFile.stage == "queued", VectorStoreFile.deleted_at.is_(None)
        )
        return list(session.scalars(rows.order_by(VectorStoreFile.number)))

    def _ingest(self, number: int, session: Session) -> None:
        row = session.get_one(VectorStoreFile, number)
        text = self.storage.read(f"{row.project_id}/{row.file_id}").decode()
        if not text.strip():
            row.stage, row.failed_stage = "failed", "parsing"
            row.error_code, row.error_message = "invalid_file", "The file is empty."
            return
        self.passages[number] = text.split("\n\n")
        row.stage, row.live, row.completed_at = "completed", True, now()
        row.passages = row.passages_done = len(self.passages[number])
        row.usage_bytes = len(text.encode())


@dataclass
class FakeRetriever:
    """Scores live passages by the share of the query's words they hold."""

    database: Database
    ingestor: FakeIngestor
    requests: list[SearchRequest] = field(default_factory=list)
    failure: RequestError | None = None

    async def search(self, request: SearchRequest) -> SearchResult:
        if self.failure is not None:
            raise self.failure
        self.requests.append(request)
        with acting_in(request.project_id):
            found = await self.database.run(lambda session: self._find(session, request))
        found.sort(key=lambda passage: -passage.score)
        return SearchResult(passages=tuple(found[: request.limit or 10]), timings_ms={"total": 1.0})

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        return [self._score(query, document) for document in documents]

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        return self.ingestor.passages[number]

    async def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    def _find(self, session: Session, request: SearchRequest) -> list[RetrievedPassage]:
        read_scope(session, request.store_ids, None)
        rows = session.scalars(
            select(VectorStoreFile).where(
                VectorStoreFile.store_id.in_(request.store_ids), VectorStoreFile.live
            )
        )
        return [
            RetrievedPassage(
                id=f"psg_{row.number}_{ordinal}",
                text=text,
                score=score,
                file_id=row.file_id,
                filename=row.filename,
                store_id=row.store_id,
                ordinal=ordinal,
                start=0,
                end=len(text),
                page=1,
                page_end=1,
                section=("Top",),
                attributes=row.attributes,
            )
            for row in rows
            for ordinal, text in enumerate(self.ingestor.passages.get(row.number, []))
            if (score := self._score(request.query, text)) > (request.score_threshold or 0.0)
        ]

    @staticmethod
    def _score(query: str, text: str) -> float:
        wanted, held = set(_words(query)), set(_words(text))
        return len(wanted & held) / max(1, len(wanted))


@dataclass
class FakeModel:
    """Says the words of `answer`; `running` is set while a generation is under way."""

    answer: str = "The sky is blue."
    failure: RequestError | None = None
    calls: list[ModelCall] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        if self.failure is not None:
            raise self.failure
        self.calls.append(call)
        self.running.set()
        try:
            yield Part(data=self.answer.encode(), usage=Usage(3, len(_words(self.answer))))
        finally:
            self.running.clear()

    async def prepare(self, adapter: AdapterFiles) -> int:
        if self.failure is not None:
            raise self.failure
        self.prepared.append(adapter.id)
        return 1

    async def forget(self, adapter_id: str) -> int:
        self.forgotten.append(adapter_id)
        return 1

    async def load(self) -> ModelLoad:
        return ModelLoad(replicas=1, running=int(self.running.is_set()), capacity=8)


@dataclass
class FakeEvaluator:
    """Remembers what it was given."""

    submitted: list[str] = field(default_factory=list)
    woken: int = 0
    graded: GradedAnswer = field(default_factory=lambda: GradedAnswer(1.0, True, {}))
    asked: list[tuple[Mapping[str, Any], Mapping[str, Any], str]] = field(default_factory=list)

    async def submit(self, trace_id: str) -> bool:
        self.submitted.append(trace_id)
        return True

    async def wake(self) -> None:
        self.woken += 1

    async def grade(
        self, grader: Mapping[str, Any], item: Mapping[str, Any], answer: str
    ) -> GradedAnswer:
        self.asked.append((grader, item, answer))
        return self.graded

    async def report(self, run_id: str) -> MadeReport:
        return MadeReport({"run": run_id}, f"<p>{run_id}</p>")

    async def compare(
        self, baseline: str, candidate: str, settings: Mapping[str, Any]
    ) -> MadeReport:
        said = {"baseline": baseline, "candidate": candidate, "settings": dict(settings)}
        return MadeReport(said, "<p>compared</p>")
