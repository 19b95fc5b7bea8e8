"""Pseudo-relevance feedback: the passages that lead a ranking say what the question means.

Rocchio's rule on vectors (Li et al., 2021, "Pseudo relevance feedback with deep language models
and dense retrievers"), within the candidates at hand: no second search.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingestion.embedding import Vectors

__all__ = ["moved_query"]


def moved_query(query: "Vectors", leaders: "Vectors", weight: float) -> "Vectors":
    """`query` moved towards the mean of `leaders` (passages, dimension), both of unit length.

    `weight` is the mean's share beside the query's 1. The result has unit length.
    """
    import numpy as np

    mean = leaders.mean(axis=0)
    mean /= np.linalg.norm(mean) or 1.0
    moved = query + np.float32(weight) * mean
    result: Vectors = moved / (np.linalg.norm(moved) or 1.0)
    return result
