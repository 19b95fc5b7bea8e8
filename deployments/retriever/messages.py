"""What crosses the Retriever's boundary."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["RetrievedPassage", "SearchRequest", "SearchResult"]

SearchMode = Literal["hybrid", "dense", "bm25"]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A search over vector stores of one project. None means «as the settings say»."""

    project_id: str
    store_ids: tuple[str, ...]
    query: str
    limit: int | None = None
    """1 to 50."""
    filters: dict[str, Any] | None = None
    """OpenAI's filter grammar over file attributes."""
    mode: SearchMode | None = None
    fusion: Literal["rrf", "weighted"] | None = None
    rerank: bool | None = None
    mmr_lambda: float | None = None
    score_threshold: float | None = None
    deadline_s: float | None = None
    """Seconds from now after which nobody waits for it."""

    def within(self, timeout_s: float) -> float:
        """How long it may take, in seconds: `timeout_s`, or its deadline where that is sooner."""
        return timeout_s if self.deadline_s is None else min(timeout_s, self.deadline_s)


@dataclass(frozen=True, slots=True)
class RetrievedPassage:
    """A passage with where it stands and why it was found."""

    id: str
    text: str
    score: float
    """0 to 1, higher is better; comparable within one result only."""
    file_id: str
    filename: str
    store_id: str
    ordinal: int
    start: int
    end: int
    page: int | None = None
    page_end: int | None = None
    section: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    dense_score: float | None = None
    """Cosine similarity with the query, or None where only words were searched."""
    bm25_score: float | None = None
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first, and the milliseconds that each stage took."""

    passages: tuple[RetrievedPassage, ...]
    timings_ms: dict[str, float]
    """embed, dense, bm25, fuse, records, rerank, mmr, total: those that ran."""
    mode: SearchMode = "hybrid"
