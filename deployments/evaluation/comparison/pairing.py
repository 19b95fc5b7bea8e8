"""Which item of one run belongs to which of the other."""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

from deployments.evaluation.comparison.scored import ScoredItem, digest, field_text

__all__ = ["Pair", "Pairing", "pair_items"]


class Pair(NamedTuple):
    """One item in both runs."""

    baseline: ScoredItem
    candidate: ScoredItem


class Pairing(NamedTuple):
    """All items, none dropped."""

    pairs: tuple[Pair, ...]
    """In the baseline's order."""
    baseline_only: tuple[ScoredItem, ...]
    candidate_only: tuple[ScoredItem, ...]


def pair_items(baseline: Sequence[ScoredItem], candidate: Sequence[ScoredItem], by: str) -> Pairing:
    """Pair `by` as `ComparisonSettings.pair_by` says.

    Items that are alike within a run are paired in their order: the first with the first. An item
    without the field that is paired by has no pair.
    """
    waiting: dict[str, deque[ScoredItem]] = defaultdict(deque)
    alone: list[ScoredItem] = []
    for item in candidate:
        key = _key(item, by)
        if key is None:
            alone.append(item)
        else:
            waiting[key].append(item)
    pairs: list[Pair] = []
    left: list[ScoredItem] = []
    for item in baseline:
        key = _key(item, by)
        others = waiting.get(key) if key is not None else None
        if others:
            pairs.append(Pair(item, others.popleft()))
        else:
            left.append(item)
    alone += [item for others in waiting.values() for item in others]
    return Pairing(tuple(pairs), tuple(left), tuple(sorted(alone, key=lambda one: one.number)))


def _key(item: ScoredItem, by: str) -> str | None:
    if by == "number":
        return str(item.number)
    if by == "item":
        return digest(item.item)
    return field_text(item.item, by.removeprefix("item."))
