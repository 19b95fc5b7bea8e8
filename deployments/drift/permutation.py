"""p-values by permutation of which request belongs to which window."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

__all__ = ["permuted_labels", "sequential_p_value"]

_ENOUGH: Final = 20
"""Permutations at least as extreme after which more would not change what is decided."""
_BATCH: Final = 50


def sequential_p_value(
    observed: float, draw: "Callable[[int], NDArray[Any]]", permutations: int
) -> float:
    """The share of permutations with a statistic of at least `observed`.

    `draw(n)` gives n statistics of permuted data. It stops at twenty that are as extreme, and still
    is a p-value: Besag and Clifford, Sequential Monte Carlo p-values, Biometrika 78 (1991) 301-304.
    So stable traffic costs little, and the smallest value is 1 / (`permutations` + 1).
    """
    import numpy as np

    extreme = drawn = 0
    while drawn < permutations:
        statistics = draw(min(_BATCH, permutations - drawn))
        places = np.flatnonzero(statistics >= observed - 1e-12)
        if extreme + len(places) >= _ENOUGH:
            return _ENOUGH / (drawn + int(places[_ENOUGH - extreme - 1]) + 1)
        extreme += len(places)
        drawn += len(statistics)
    return (extreme + 1) / (permutations + 1)


def permuted_labels(chance: "Generator", current: int, requests: int, count: int) -> "NDArray[Any]":
    """`count` columns of 0 and 1, each with `current` ones at random among `requests` places."""
    import numpy as np

    order = np.argpartition(chance.random((count, requests), dtype=np.float32), current, axis=1)
    labels = np.zeros((count, requests), dtype=np.float32)
    np.put_along_axis(labels, order[:, :current], 1.0, axis=1)
    return np.ascontiguousarray(labels.T)
