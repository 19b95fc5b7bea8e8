"""The comparison by parts of the held-out set: a mean can rise while some users lose.

A slice is a regression when its score fell by more than the bound and a one-sided test says that it
fell, with Holm's correction (1979) over the slices that are judged. Those are the large ones; and
of the small ones those on which the candidate is behind, where enough items differ that losing all
of them would be evidence (what cannot be evidence costs no correction: Tarone 1990). So many small
slices that win do not hide one that is lost. But it must be lost on 6 items at least, and on more
where several are behind: a loss that is smaller than that stays unseen.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from training.data.texts import normalised
from training.gate.comparison import differences_of, one_sided_worse, worse_given_behind
from training.gate.evidence import Slice, Slices
from training.gate.intervals import difference_interval
from training.gate.items import HeldOut
from training.gate.metrics import Metric
from training.gate.settings import GateSettings

__all__ = ["holm", "judge_slices", "places_by", "slice_rule"]

_UNNAMED: Final = "(without)"
_ORDER: Final = {"regression": 0, "suspect": 1, "fine": 2, "too small": 3}
_MOST_REFERENCES: Final = 0.5


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def places_by(names: Sequence[str]) -> dict[str, list[int]]:
    """The places that each name stands at, in the order of first appearance."""
    found: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        found.setdefault(name, []).append(place)
    return found


def slice_rule(items: Sequence[HeldOut], metric: Metric, wanted: str) -> str:
    """What `wanted` means here: `none`, `reference` or `metadata.NAME`.

    `auto` is `reference` for a binary metric whose references repeat: at most one for two items.
    """
    if wanted != "auto":
        return wanted
    kinds = len({normalised(item.reference) for item in items})
    repeated = kinds > 1 and kinds <= _MOST_REFERENCES * len(items)
    return "reference" if metric.binary and repeated else "none"


def judge_slices(
    items: Sequence[HeldOut],
    candidate: Sequence[float],
    champion: Sequence[float],
    metric: Metric,
    settings: GateSettings,
) -> Slices:
    """Compare the sides on each slice of `items`; the scores are in their order."""
    rule = slice_rule(items, metric, settings.slice_by)
    found: list[Slice] = []
    groups = {} if rule == "none" else places_by([_name(item, rule) for item in items])
    raw: dict[str, float] = {}
    level: set[str] = set()
    for name, places in groups.items():
        ours, theirs = [candidate[i] for i in places], [champion[i] for i in places]
        differences = differences_of(ours, theirs, metric.resolution)
        large = len(places) >= settings.min_slice_items
        if large:
            raw[name] = one_sided_worse(differences, metric.binary)
        elif _tells(differences, settings.bounds.alpha):
            p_value = worse_given_behind(*_moves(differences))
            if p_value is None:
                level.add(name)
            else:
                raw[name] = p_value
        found.append(
            Slice(
                name=name,
                items=len(places),
                candidate=fmean(ours),
                champion=fmean(theirs),
                difference=fmean(differences),
                interval=difference_interval(
                    differences,
                    metric.binary,
                    alpha=settings.bounds.alpha,
                    resamples=settings.resamples,
                    seed=settings.seed,
                )
                if large
                else None,
                verdict="too small",
            )
        )
    adjusted = dict.fromkeys(level, 1.0) | dict(zip(raw, holm(list(raw.values())), strict=True))
    judged = [_judged(one, adjusted.get(one.name), settings) for one in found]
    judged.sort(key=lambda one: (_ORDER[one.verdict], one.difference, one.name))
    return Slices(by=rule, min_items=settings.min_slice_items, slices=tuple(judged))


def _tells(differences: Sequence[float], alpha: float) -> bool:
    """Whether a candidate that lost every item that differs would be shown to be worse."""
    p_value = worse_given_behind(0, sum(_moves(differences)))
    return p_value is not None and p_value < alpha


def _moves(differences: Sequence[float]) -> tuple[int, int]:
    """Items on which the candidate is ahead, and behind."""
    return sum(d > 0 for d in differences), sum(d < 0 for d in differences)


def _judged(one: Slice, p_value: float | None, settings: GateSettings) -> Slice:
    if p_value is None:
        return one
    if one.difference >= -settings.bounds.slice:
        return one.model_copy(update={"p_value": p_value, "verdict": "fine"})
    proven = p_value < settings.bounds.alpha
    return one.model_copy(
        update={"p_value": p_value, "verdict": "regression" if proven else "suspect"}
    )


def _name(item: HeldOut, rule: str) -> str:
    if rule == "reference":
        return " ".join(item.reference.split())
    return item.metadata.get(rule.removeprefix("metadata."), _UNNAMED)
