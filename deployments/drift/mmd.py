"""Maximum mean discrepancy: how far two samples of embeddings are apart, whatever way they differ.

Gretton et al., A kernel two-sample test, JMLR 13 (2012) 723-773: the unbiased estimate of lemma 6,
a Gaussian kernel as wide as the median distance, and a permutation test.
"""

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Mmd", "kernel_of", "mmd", "mmd_of_labels"]

_MEDIAN_OF: Final = 300
"""Requests whose distances give the median."""
_MOST: Final = 2000
_RATIO: Final = 4


class Mmd(NamedTuple):
    """What was found."""

    value: float
    """MMD², unbiased: near 0, also below it, where nothing moved."""
    p_value: float


def mmd(reference: "NDArray[Any]", current: "NDArray[Any]", *, permutations: int, seed: int) -> Mmd:
    """Compare two samples of embeddings, one a row.

    Of the larger one four times the other's count are drawn, and at most 2,000 of either: more
    would add little power and much time.
    """
    import numpy as np

    from deployments.drift.permutation import permuted_labels, sequential_p_value

    chance = np.random.default_rng(seed)
    most = min(_MOST, _RATIO * min(len(reference), len(current)))
    reference, current = (
        sample if len(sample) <= most else sample[chance.permutation(len(sample))[:most]]
        for sample in (reference, current)
    )
    rows = np.concatenate([reference, current]).astype(np.float32)
    kernel = kernel_of(rows, chance.permutation(len(rows))[:_MEDIAN_OF])
    labels = np.zeros((len(rows), 1), dtype=np.float32)
    labels[len(reference) :] = 1.0
    observed = float(mmd_of_labels(kernel, labels)[0])

    def draw(count: int) -> "NDArray[Any]":
        return mmd_of_labels(kernel, permuted_labels(chance, len(current), len(rows), count))

    return Mmd(observed, sequential_p_value(observed, draw, permutations))


def kernel_of(rows: "NDArray[Any]", sampled: "NDArray[Any]") -> "NDArray[Any]":
    """exp(-d² / 2m²) of each pair of rows, 0 on the diagonal; m is the median over `sampled`."""
    import numpy as np

    squares = np.einsum("ij,ij->i", rows, rows)
    distances: NDArray[Any] = rows @ (-2 * rows.T)
    distances += squares[:, None]
    distances += squares[None, :]
    np.maximum(distances, 0, out=distances)
    among = distances[np.ix_(sampled, sampled)]
    median = float(np.median(among[np.triu_indices(len(sampled), 1)])) or 1.0
    distances *= np.float32(-0.5 / median)
    np.exp(distances, out=distances)
    np.fill_diagonal(distances, 0.0)
    return distances


def mmd_of_labels(kernel: "NDArray[Any]", labels: "NDArray[Any]") -> "NDArray[Any]":
    """MMD² of each column of labels (1: current). The kernel's diagonal must be 0."""
    import numpy as np

    current = labels.sum(axis=0)
    reference = len(labels) - current
    within = np.einsum("ij,ij->j", labels, kernel @ labels).astype(np.float64)
    across = kernel.sum(axis=0, dtype=np.float64) @ labels - within
    rest = kernel.sum(dtype=np.float64) - within - 2 * across
    found: NDArray[Any] = (
        within / (current * (current - 1))
        + rest / (reference * (reference - 1))
        - 2 * across / (current * reference)
    )
    return found
