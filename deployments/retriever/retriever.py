"""The Retriever: a question to passages.

(scope ‖ embed → dense) ‖ (scope → BM25) → fuse → live? (records) → rerank → MMR → threshold
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from cluster.errors import VectorDatabaseError
from cluster.settings import RetrievalSettings
from cluster.tenancy import acting_in
from deployments.errors import DeadlineExceeded, Unavailable
from deployments.ports import EmbeddedTexts
from deployments.retriever.merging import merged
from deployments.retriever.messages import RetrievedPassage, SearchRequest, SearchResult
from deployments.retriever.mmr import mmr
from deployments.retriever.plan import Plan, make_plan
from deployments.retriever.reranking import Reranker
from deployments.retriever.scope import LiveFile, Scope, live_files, read_scope
from ingestion.analysis import analyse_query
from ingestion.passages import Hit

if TYPE_CHECKING:
    from cluster.database import Database
    from ingestion.index import PassageIndex

__all__ = ["Retriever"]

T = TypeVar("T")
Timings = dict[str, float]
_THREADS: Final = 16
_ROUNDS: Final = 2
_RETRY_AFTER_S: Final = 2


class QueryEmbedder(Protocol):
    """The part of the Embedder that a search needs."""

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """Return unit vectors."""
        ...


class Retriever:
    """Searches the vector stores of a project.

    A passage counts only if its document version is live in the records. One that was replaced
    between the look at the records and the search makes the search run once more, so that neither
    version is missed.
    """

    def __init__(
        self,
        settings: RetrievalSettings,
        *,
        index: "PassageIndex",
        embedder: QueryEmbedder,
        database: "Database",
        reranker: Reranker,
    ) -> None:
        self._settings = settings
        self._index = index
        self._embedder = embedder
        self._database = database
        self._reranker = reranker
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="milvus")

    async def search(self, request: SearchRequest) -> SearchResult:
        """Find passages, best first.

        Raises NotFound for a store that the project does not have, InvalidRequest, Unavailable
        when Milvus stays away, DeadlineExceeded.
        """
        plan = make_plan(request, self._settings)
        timings: Timings = {}
        timeout_s = request.within(self._settings.timeout_s)
        with _timed(timings, "total"):
            try:
                async with asyncio.timeout(timeout_s):
                    with acting_in(plan.project_id):
                        passages = await self._run(plan, timings)
            except TimeoutError as error:
                raise DeadlineExceeded(
                    f"The search took longer than {timeout_s:g} s.",
                    code="search_too_slow",
                ) from error
        return SearchResult(tuple(passages), timings, plan.mode)

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance of each document to `query`, 0 to 1, in the order given."""
        return await self._reranker.score(query, documents)

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        """Return the texts of a document version's passages, in the document's order."""
        return await self._milvus(lambda: self._index.texts(project_id, store_id, number))

    async def check(self) -> None:
        """Raise Unavailable, with the reason, unless Milvus answers."""
        await self._milvus(self._index.check)

    def close(self) -> None:
        """Let go of threads and connections."""
        self._threads.shutdown(wait=False)
        self._index.close()

    async def _run(self, plan: Plan, timings: Timings) -> list[RetrievedPassage]:
        known: list[float] | None = None
        hits: list[Hit] = []
        files: dict[int, LiveFile] = {}
        for _ in range(_ROUNDS):
            known, hits = await self._fused(plan, known, timings)
            numbers = sorted({hit.number for hit in hits})
            with _timed(timings, "records"):
                files = await self._database.run(
                    partial(live_files, numbers=numbers), read_only=True
                )
            if all(hit.number in files for hit in hits):
                break
        live = [_passage(hit, files[hit.number]) for hit in hits if hit.number in files]
        vectors = {hit.id: hit.vector for hit in hits if hit.vector is not None}
        return await self._ordered(plan, live, vectors, timings)

    async def _scope(self, plan: Plan, timings: Timings) -> Scope:
        with _timed(timings, "records"):
            return await self._database.run(
                partial(read_scope, store_ids=plan.store_ids, filters=plan.filters),
                read_only=True,
            )

    async def _vector(self, plan: Plan, timings: Timings) -> list[float]:
        if not plan.dense:
            return []
        with _timed(timings, "embed"):
            return (await self._embedder.embed([plan.query])).vectors[0]

    async def _fused(
        self, plan: Plan, known: list[float] | None, timings: Timings
    ) -> tuple[list[float], list[Hit]]:
        """The query's vector, and candidates with their scores from 0 to 1, best first.

        Words are searched as soon as the scope is known, while the query is still being embedded.
        """
        scope = asyncio.create_task(self._scope(plan, timings))

        async def by_words() -> list[Hit]:
            return await self._bm25(plan, await scope, timings)

        async def by_meaning() -> tuple[list[float], list[Hit]]:
            embedding = self._vector(plan, timings) if known is None else _ready(known)
            found, vector = await _both(scope, embedding)
            return vector, await self._dense(plan, found, vector, timings)

        (vector, dense), bm25 = await _both(by_meaning(), by_words())
        with _timed(timings, "fuse"):
            return vector, merged(plan, vector, dense, bm25)

    async def _dense(
        self, plan: Plan, scope: Scope, vector: list[float], timings: Timings
    ) -> list[Hit]:
        if not plan.dense or scope.numbers == ():
            return []
        with _timed(timings, "dense"):
            return await self._milvus(
                lambda: self._index.search_dense(
                    vector,
                    plan.project_id,
                    plan.store_ids,
                    plan.candidates,
                    numbers=scope.numbers,
                    excluded=scope.excluded,
                    with_vectors=plan.dense_vectors,
                )
            )

    async def _bm25(self, plan: Plan, scope: Scope, timings: Timings) -> list[Hit]:
        if not plan.bm25 or scope.numbers == ():
            return []
        with _timed(timings, "bm25"):
            return await self._milvus(
                lambda: self._index.search_bm25(
                    analyse_query(plan.query, scope.languages),
                    plan.project_id,
                    plan.store_ids,
                    plan.candidates,
                    numbers=scope.numbers,
                    excluded=scope.excluded,
                    with_vectors=plan.bm25_vectors,
                )
            )

    async def _ordered(
        self,
        plan: Plan,
        passages: list[RetrievedPassage],
        vectors: dict[str, list[float]],
        timings: Timings,
    ) -> list[RetrievedPassage]:
        if plan.rerank and passages:
            with _timed(timings, "rerank"):
                passages = await self._reranked(plan, passages)
        passages = [passage for passage in passages if passage.score >= plan.score_threshold]
        if plan.mmr_lambda is not None and passages:
            with _timed(timings, "mmr"):
                order = mmr(
                    [passage.score for passage in passages],
                    [vectors[passage.id] for passage in passages],
                    trade_off=plan.mmr_lambda,
                    limit=plan.limit,
                )
                passages = [passages[i] for i in order]
        return passages[: plan.limit]

    async def _reranked(
        self, plan: Plan, passages: list[RetrievedPassage]
    ) -> list[RetrievedPassage]:
        head = passages[: plan.rerank_candidates]
        scores = await self._reranker.score(plan.query, [passage.text for passage in head])
        scored = [
            replace(passage, score=score, rerank_score=score)
            for passage, score in zip(head, scores, strict=True)
        ]
        return sorted(scored, key=lambda passage: -passage.score)

    async def _milvus(self, call: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except VectorDatabaseError as error:
            raise Unavailable(
                str(error), code="vectors_unavailable", retry_after_s=_RETRY_AFTER_S
            ) from error


def _passage(hit: Hit, file: LiveFile) -> RetrievedPassage:
    return RetrievedPassage(
        id=hit.id,
        text=hit.text,
        score=hit.score,
        file_id=hit.file_id,
        filename=file.filename,
        store_id=hit.store_id,
        ordinal=hit.ordinal,
        start=hit.start,
        end=hit.end,
        page=hit.page,
        page_end=hit.page_end,
        section=hit.section,
        attributes=file.attributes,
        dense_score=hit.dense_score,
        bm25_score=hit.bm25_score,
    )


@contextmanager
def _timed(timings: Timings, stage: str) -> Iterator[None]:
    """Add the block's milliseconds to `stage`."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - started) * 1000
        timings[stage] = round(timings.get(stage, 0.0) + spent, 3)


A = TypeVar("A")
B = TypeVar("B")


async def _both(one: Awaitable[A], other: Awaitable[B]) -> tuple[A, B]:
    """Both at the same time. The first error is raised once the other is done as well."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    for result in (first, second):
        if isinstance(result, BaseException):
            raise result
    return first, second  # type: ignore[return-value]  # exceptions are raised above


async def _ready(value: T) -> T:
    return value
