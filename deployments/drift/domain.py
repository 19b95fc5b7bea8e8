"""The domain classifier: whether the window's questions can be told from the reference's.

A classifier by the five nearest neighbours, leaving each request out of its own vote (Lopez-Paz and
Oquab, Revisiting classifier two-sample tests, ICLR 2017). Its statistic is the share of current
requests among the neighbours of current ones (Schilling, Multivariate two-sample tests based on
nearest neighbors, JASA 81 (1986) 799-806), which rises wherever a topic grows. A linear classifier
sees only what moves the mean: three new intents of seventy-seven escaped it three times in four.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Domain", "PreparedReference", "domain_classifier", "prepare_reference"]

NEIGHBOURS: Final = 5
_ROWS: Final = 1000
_JITTER: Final = 1e-4
"""Noise of each coordinate: questions that are asked again would else be ordered by window."""


class Domain(NamedTuple):
    """What was found."""

    auc: float
    """Of the classifier; 0.5: it cannot tell."""
    share: float
    """Of current requests among the neighbours of current ones."""
    expected: float
    """The share where nothing moved."""
    p_value: float


@dataclass(frozen=True)
class PreparedReference:
    """A reference, and how near each of its requests has others of it."""

    rows: "NDArray[Any]"
    near: "NDArray[Any]"
    """Places of the five nearest."""
    similar: "NDArray[Any]"
    """Their cosines."""


def prepare_reference(vectors: "NDArray[Any]", seed: int) -> PreparedReference:
    """Find the neighbours within the reference, for several looks. Needs more than five rows."""
    import numpy as np

    rows = _jittered(vectors, np.random.default_rng((seed, 0)))
    near, similar = [], []
    for begin in range(0, len(rows), _ROWS):
        cosines = rows[begin : begin + _ROWS] @ rows.T
        places = np.arange(len(cosines))
        cosines[places, begin + places] = -np.inf
        found, of_them = _nearest(cosines)
        near.append(found)
        similar.append(of_them)
    return PreparedReference(rows, np.concatenate(near), np.concatenate(similar))


def domain_classifier(
    reference: PreparedReference, current: "NDArray[Any]", *, permutations: int, seed: int
) -> Domain:
    """Compare embeddings, one a row, with the reference. Rows must have unit length."""
    import numpy as np
    from scipy import sparse
    from scipy.stats import rankdata

    from deployments.drift.permutation import permuted_labels, sequential_p_value

    chance = np.random.default_rng((seed, 1))
    near = _neighbours(reference, _jittered(current, chance))
    requests, count = len(near), len(current)
    ones = np.ones(near.size, dtype=np.float32)
    ends = np.arange(0, near.size + 1, NEIGHBOURS)
    votes = sparse.csr_matrix((ones, near.ravel(), ends), shape=(requests, requests))

    def statistics(labels: "NDArray[Any]") -> "NDArray[Any]":
        found: NDArray[Any] = np.einsum("ij,ij->j", labels, votes @ labels)
        return found / (NEIGHBOURS * count)

    labels = np.zeros((requests, 1), dtype=np.float32)
    labels[requests - count :] = 1.0
    share = float(statistics(labels)[0])
    p_value = sequential_p_value(
        share,
        lambda drawn: statistics(permuted_labels(chance, count, requests, drawn)),
        permutations,
    )
    ranks = rankdata(votes @ labels[:, 0])[requests - count :].sum()
    auc = (ranks - count * (count + 1) / 2) / (count * (requests - count))
    return Domain(float(auc), share, (count - 1) / (requests - 1), p_value)


def _neighbours(reference: PreparedReference, current: "NDArray[Any]") -> "NDArray[Any]":
    """Of every request, reference first, the places of its neighbours in both windows."""
    import numpy as np

    before, count = len(reference.rows), len(current)
    across = reference.rows @ current.T
    near = reference.near.copy()
    (changed,) = np.nonzero(across.max(axis=1) > reference.similar.min(axis=1))
    cosines = np.concatenate([reference.similar[changed], across[changed]], axis=1)
    arrived = np.broadcast_to(np.arange(before, before + count), (len(changed), count))
    places = np.concatenate([near[changed], arrived], axis=1)
    near[changed] = np.take_along_axis(places, _nearest(cosines)[0], axis=1)
    within = current @ current.T
    np.fill_diagonal(within, -np.inf)
    theirs = np.concatenate([across.T, within], axis=1)
    return np.concatenate([near, _nearest(theirs)[0]])


def _nearest(cosines: "NDArray[Any]") -> "tuple[NDArray[Any], NDArray[Any]]":
    """Of each row the places and values of the five largest; `cosines` is used up.

    Five passes for the largest are several times faster than one partition of each row.
    """
    import numpy as np

    rows = np.arange(len(cosines))
    places = np.empty((len(cosines), NEIGHBOURS), dtype=np.intp)
    values = np.empty((len(cosines), NEIGHBOURS), dtype=cosines.dtype)
    for turn in range(NEIGHBOURS):
        places[:, turn] = cosines.argmax(axis=1)
        values[:, turn] = cosines[rows, places[:, turn]]
        cosines[rows, places[:, turn]] = -np.inf
    return places, values


def _jittered(vectors: "NDArray[Any]", chance: Any) -> "NDArray[Any]":
    import numpy as np

    noise = chance.standard_normal(vectors.shape, dtype=np.float32)
    found: NDArray[Any] = vectors.astype(np.float32) + np.float32(_JITTER) * noise
    return found
