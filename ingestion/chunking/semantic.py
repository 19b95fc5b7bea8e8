"""Where the meaning of a text turns."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Embed", "semantic_breakpoints", "windows_of"]

Embed = Callable[[list[str]], "Sequence[Sequence[float]] | NDArray[np.float32]"]
"""Texts to one vector each, in order. It is called once a document and may block."""

_NEIGHBOURS = 1


def windows_of(sentences: Sequence[str]) -> list[str]:
    """Return each sentence with its neighbours, which steadies its vector."""
    return [
        " ".join(sentences[max(0, position - _NEIGHBOURS) : position + _NEIGHBOURS + 1])
        for position in range(len(sentences))
    ]


def semantic_breakpoints(vectors: Any, percentile: float) -> list[int]:
    """Return the indices (from 1) at which a new passage starts.

    `vectors` is (n, dimension), one row a sentence window. A break stands where the cosine distance
    of neighbours is above the given percentile of all neighbours' distances (the «percentile»
    method of G. Kamradt, "5 Levels of Text Splitting", 2023).
    """
    import numpy as np

    rows = np.asarray(vectors, dtype=np.float64)
    if len(rows) < 3:
        return []
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(lengths == 0, 1.0, lengths)
    distances = 1.0 - np.sum(rows[:-1] * rows[1:], axis=1)
    threshold = np.percentile(distances, percentile)
    return [int(index) + 1 for index in np.flatnonzero(distances > threshold + 1e-9)]
