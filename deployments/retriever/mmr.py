"""Maximal marginal relevance: passages that are relevant and differ from one another."""

from collections.abc import Sequence

__all__ = ["mmr"]


def mmr(
    relevance: Sequence[float],
    vectors: Sequence[Sequence[float]],
    *,
    trade_off: float,
    limit: int,
) -> list[int]:
    """Return indices in the order of choice (Carbonell & Goldstein, 1998).

    Each later one has the highest `trade_off * relevance - (1 - trade_off) * similarity` to the
    most similar one chosen before it. `vectors` have unit length; `trade_off` 1 is relevance only.
    """
    import numpy as np

    if not relevance:
        return []
    matrix = np.asarray(vectors, dtype=np.float32)
    worth = np.asarray(relevance, dtype=np.float32)
    chosen = [int(worth.argmax())]
    nearest = matrix @ matrix[chosen[0]]
    left = np.ones(len(worth), dtype=bool)
    left[chosen[0]] = False
    while len(chosen) < min(limit, len(worth)):
        gain = np.where(left, trade_off * worth - (1 - trade_off) * nearest, -np.inf)
        best = int(gain.argmax())
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, matrix @ matrix[best])
    return chosen
