"""How far a judge agrees with people, beyond what chance would give; and shares with intervals."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, Literal, NamedTuple

from cluster.sections.section import Section

__all__ = ["Agreement", "Kappa", "Share", "Weights", "agreement_of", "cohen_kappa", "share_of"]

Weights = Literal["none", "quadratic"]
"""`quadratic` where the categories have an order: two steps apart count four times one step."""
_Z: Final = NormalDist().inv_cdf(0.975)
_NOTHING: Final = 1e-12
"""Below this a difference is the rounding of its terms."""


class Share(Section):
    """A share of cases with its 95 % interval."""

    count: int
    of: int
    share: float
    low: float
    high: float


class Agreement(Section):
    """A judge's categories against people's, on the items that carry a person's label."""

    items: int
    raw: float
    """Share of the items on which both say the same."""
    kappa: float | None
    """Cohen's; None where it is undefined: both said one and the same of every item."""
    low: float | None
    """Of the 95 % interval of kappa."""
    high: float | None
    weights: Weights


class Kappa(NamedTuple):
    """Cohen's kappa and its standard error."""

    value: float
    error: float


def share_of(count: int, of: int) -> Share:
    """Share with Wilson's score interval (1927). Raises ValueError for no cases."""
    if of < 1:
        raise ValueError("a share of nothing")
    share = count / of
    scale = 1 + _Z**2 / of
    middle = (share + _Z**2 / (2 * of)) / scale
    half = _Z * math.sqrt(share * (1 - share) / of + _Z**2 / (4 * of**2)) / scale
    low = middle - half if count else 0.0
    high = middle + half if count < of else 1.0
    return Share(count=count, of=of, share=share, low=low, high=high)


def agreement_of(
    pairs: Sequence[tuple[str, str]], categories: Sequence[str], weights: Weights
) -> Agreement | None:
    """Agreement of (judge, person) pairs; None for no pairs."""
    if not pairs:
        return None
    kappa = cohen_kappa(pairs, categories, weights)
    return Agreement(
        items=len(pairs),
        raw=sum(judge == person for judge, person in pairs) / len(pairs),
        kappa=None if kappa is None else kappa.value,
        low=None if kappa is None else max(-1.0, kappa.value - _Z * kappa.error),
        high=None if kappa is None else min(1.0, kappa.value + _Z * kappa.error),
        weights=weights,
    )


def cohen_kappa(
    pairs: Sequence[tuple[str, str]], categories: Sequence[str], weights: Weights
) -> Kappa | None:
    """Cohen's kappa (1960), weighted (1968) where asked; None where it is undefined.

    The standard error is Fleiss, Cohen and Everitt's (1969) for large samples. Raises ValueError
    for a label that is none of the categories.
    """
    import numpy as np

    place = {category: index for index, category in enumerate(categories)}
    if unknown := {label for pair in pairs for label in pair} - place.keys():
        raise ValueError(f"{sorted(unknown)[0]!r} is none of the categories")
    size = len(categories)
    table = np.zeros((size, size))
    for judge, person in pairs:
        table[place[judge], place[person]] += 1 / len(pairs)
    steps = np.arange(size)
    apart = (steps[:, None] - steps[None, :]) / max(1, size - 1)
    agree = np.eye(size) if weights == "none" else 1 - apart**2
    judges, people = table.sum(axis=1), table.sum(axis=0)
    seen = float((agree * table).sum())
    chance = float(judges @ agree @ people)
    if 1 - chance < _NOTHING:
        return None
    middle = (agree @ people)[:, None] + (judges @ agree)[None, :]
    terms = table * (agree * (1 - chance) - middle * (1 - seen)) ** 2
    variance = float(terms.sum()) - (seen * chance - 2 * chance + seen) ** 2
    variance = variance if variance > _NOTHING else 0.0
    error = math.sqrt(variance / len(pairs)) / (1 - chance) ** 2
    return Kappa((seen - chance) / (1 - chance), error)
