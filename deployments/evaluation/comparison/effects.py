"""How large a difference is, whatever the number of items: above 0 favours the candidate."""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Literal

from cluster.sections.section import Section

__all__ = ["Effect", "effects_of"]

EffectName = Literal["Cohen's g", "odds ratio", "rank-biserial", "Cohen's d_z"]


class Effect(Section):
    """One measure of size."""

    name: EffectName
    value: float | None
    """Null where it is undefined: no item differs, or none does the other way."""
    size: Literal["none", "negligible", "small", "medium", "large"] | None = None
    """In Cohen's words; null where there are none for it."""


def effects_of(gains: Sequence[float], binary: bool) -> tuple[Effect, ...]:
    """Sizes of paired `gains`, positive where the candidate does better. None for no gains.

    Binary: the share of discordant pairs that favour the candidate, minus one half (Cohen's g), and
    their ratio, which is McNemar's odds ratio (above 1 favours the candidate); words by Cohen,
    Statistical Power Analysis (2nd ed. 1988), chapter 5. Others: the matched-pairs rank-biserial
    correlation (Kerby, Comprehensive Psychology 3, 2014; pairs that do not differ are left out, as
    in Wilcoxon's test) and Cohen's d_z, mean over spread of the gains (Lakens, Frontiers in
    Psychology 4, 2013); words by Cohen, chapter 2.
    """
    if binary:
        return _of_pairs(sum(g > 0 for g in gains), sum(g < 0 for g in gains))
    return (_rank_biserial(gains), _standardised(gains))


def _of_pairs(wins: int, losses: int) -> tuple[Effect, ...]:
    g = wins / (wins + losses) - 0.5 if wins + losses else None
    ratio = wins / losses if losses else None
    return (
        Effect(name="Cohen's g", value=g, size=_word(g, (0.05, 0.15, 0.25))),
        Effect(name="odds ratio", value=ratio),
    )


def _rank_biserial(gains: Sequence[float]) -> Effect:
    from scipy import stats

    moved = [g for g in gains if g]
    if not moved:
        return Effect(name="rank-biserial", value=None, size="none")
    ranks = stats.rankdata([abs(g) for g in moved])
    lean = sum(math.copysign(rank, g) for rank, g in zip(ranks, moved, strict=True))
    value = float(lean / sum(ranks))
    return Effect(name="rank-biserial", value=value)


def _standardised(gains: Sequence[float]) -> Effect:
    spread = stdev(gains) if len(gains) > 1 else 0.0
    value = fmean(gains) / spread if spread > 0 else None
    return Effect(name="Cohen's d_z", value=value, size=_word(value, (0.2, 0.5, 0.8)))


def _word(
    value: float | None, steps: tuple[float, float, float]
) -> Literal["none", "negligible", "small", "medium", "large"] | None:
    if value is None:
        return None
    small, medium, large = steps
    size = abs(value)
    if size >= large:
        return "large"
    if size >= medium:
        return "medium"
    return "small" if size >= small else "negligible" if size else "none"
