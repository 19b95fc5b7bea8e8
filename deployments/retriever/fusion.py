"""Two rankings into one, with scores from 0 to 1. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["RRF_K", "bounded_bm25", "bounded_cosine", "rrf", "weighted"]

RRF_K: Final = 60
"""From the paper that introduced reciprocal rank fusion (Cormack et al., 2009)."""
_BM25_HALF: Final = 10.0


def rrf(rankings: Sequence[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Reciprocal rank fusion: the sum of 1 / (k + rank), divided by the largest sum possible.

    `rankings` hold ids, best first. 1 means first in every ranking.
    """
    highest = len(rankings) / (k + 1)
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, name in enumerate(ranking, start=1):
            scores[name] = scores.get(name, 0.0) + 1 / (k + rank) / highest
    return scores


def weighted(
    dense: Mapping[str, float], bm25: Mapping[str, float], dense_weight: float
) -> dict[str, float]:
    """`dense_weight` of the cosine plus the rest of the BM25 score, each scaled to 0 to 1.

    Cosines, of which even unrelated texts have some, are scaled by their range; BM25 scores, where
    0 means no shared term, by the highest. A passage that one side lacks gets that side's 0.
    """
    cosines = _by_range(dense)
    highest = max(bm25.values(), default=1.0) or 1.0
    return {
        name: dense_weight * cosines.get(name, 0.0)
        + (1 - dense_weight) * bm25.get(name, 0.0) / highest
        for name in cosines.keys() | bm25.keys()
    }


def bounded_cosine(cosine: float) -> float:
    """Read a cosine as a score: below 0 counts as 0."""
    return min(1.0, max(0.0, cosine))


def bounded_bm25(score: float) -> float:
    """Put a BM25 score, which has no upper end, between 0 and 1: half at 10."""
    return max(0.0, score) / (max(0.0, score) + _BM25_HALF)


def _by_range(scores: Mapping[str, float]) -> dict[str, float]:
    if not scores:
        return {}
    lowest, highest = min(scores.values()), max(scores.values())
    if highest == lowest:
        return dict.fromkeys(scores, 1.0)
    return {name: (score - lowest) / (highest - lowest) for name, score in scores.items()}
