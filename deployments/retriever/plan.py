"""One search, with every default filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cluster.settings import RetrievalSettings
from deployments.errors import InvalidRequest
from deployments.retriever.filters import validate_filter
from deployments.retriever.messages import SearchMode, SearchRequest

__all__ = ["Plan", "make_plan"]

MAX_LIMIT = 50


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search does."""

    project_id: str
    store_ids: tuple[str, ...]
    query: str
    limit: int
    candidates: int
    filters: Mapping[str, Any] | None
    mode: SearchMode
    fusion: Literal["rrf", "weighted"]
    dense_weight: float
    rerank: bool
    rerank_candidates: int
    feedback_passages: int
    feedback_weight: float
    mmr_lambda: float | None
    score_threshold: float

    @property
    def dense(self) -> bool:
        """Whether vectors are searched."""
        return self.mode != "bm25"

    @property
    def dense_vectors(self) -> bool:
        """Whether the vectors of what the dense search finds are needed."""
        return self.bm25_vectors or (self.mode == "hybrid" and self.feedback_passages > 0)

    @property
    def bm25_vectors(self) -> bool:
        """Whether the vectors of what BM25 finds are needed."""
        return self.mmr_lambda is not None

    @property
    def bm25(self) -> bool:
        """Whether words are searched."""
        return self.mode != "dense"


def make_plan(request: SearchRequest, settings: RetrievalSettings) -> Plan:
    """`request` over the defaults of `settings`. Raises InvalidRequest for what cannot be."""
    if not request.store_ids:
        raise InvalidRequest("No vector store to search.", param="vector_store_ids")
    if not request.query.strip():
        raise InvalidRequest("The query is empty.", param="query")
    limit = settings.limit if request.limit is None else request.limit
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(
            f"max_num_results is {limit}; allowed: 1 to {MAX_LIMIT}.", param="max_num_results"
        )
    if request.filters is not None:
        validate_filter(request.filters)
    mmr_lambda = settings.mmr_lambda if request.mmr_lambda is None else request.mmr_lambda
    threshold = (
        settings.score_threshold if request.score_threshold is None else request.score_threshold
    )
    for name, value in (("mmr_lambda", mmr_lambda), ("score_threshold", threshold)):
        if value is not None and not 0 <= value <= 1:
            raise InvalidRequest(f"{name} is {value}; allowed: 0 to 1.", param=name)
    rerank = settings.rerank if request.rerank is None else request.rerank
    return Plan(
        project_id=request.project_id,
        store_ids=tuple(dict.fromkeys(request.store_ids)),
        query=request.query,
        limit=limit,
        candidates=max(settings.candidates, limit),
        filters=request.filters,
        mode=request.mode or settings.mode,
        fusion=request.fusion or settings.fusion,
        dense_weight=settings.dense_weight,
        rerank=rerank,
        rerank_candidates=max(settings.rerank_candidates, limit),
        feedback_passages=settings.feedback_passages,
        feedback_weight=settings.feedback_weight,
        mmr_lambda=mmr_lambda,
        score_threshold=threshold,
    )
