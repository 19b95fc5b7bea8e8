"""The population stability index of a number, and how likely it is on stable traffic.

0.1 and 0.25 are the rule of thumb for thousands of requests. A window of 150 in ten bins reaches
0.1 by chance alone in one look of ten, so the index is shown and its p-value decides.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Psi", "psi", "psi_of_counts"]

BINS: Final = 10
_SMOOTHING: Final = 0.5


class Psi(NamedTuple):
    """What was found."""

    value: float
    p_value: float


def psi(reference: "NDArray[Any]", current: "NDArray[Any]", *, permutations: int, seed: int) -> Psi:
    """The index over the reference's deciles; values that repeat share a bin.

    The p-value permutes which request belongs to which window; given the bins that is a draw of the
    current counts from all counts without replacement.
    """
    import numpy as np

    from deployments.drift.permutation import sequential_p_value

    edges = np.unique(np.quantile(reference, np.linspace(0, 1, BINS + 1)[1:-1]))
    bins = len(edges) + 1
    before = np.bincount(np.searchsorted(edges, reference, side="left"), minlength=bins)
    after = np.bincount(np.searchsorted(edges, current, side="left"), minlength=bins)
    every = before + after
    chance = np.random.default_rng(seed)

    def draw(count: int) -> "NDArray[Any]":
        drawn = chance.multivariate_hypergeometric(every, len(current), size=count)
        return psi_of_counts(every - drawn, drawn)

    observed = float(psi_of_counts(before, after))
    return Psi(observed, sequential_p_value(observed, draw, permutations))


def psi_of_counts(before: "NDArray[Any]", after: "NDArray[Any]") -> "NDArray[Any]":
    """Sum of (a - b) ln(a / b) over the last axis' bins, with half a request added to each."""
    import numpy as np

    first, second = (
        (counts + _SMOOTHING) / (counts.sum(axis=-1, keepdims=True) + _SMOOTHING * counts.shape[-1])
        for counts in (before, after)
    )
    found: NDArray[Any] = ((second - first) * np.log(second / first)).sum(axis=-1)
    return found
