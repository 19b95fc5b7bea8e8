"""Whether a run is worse than its baseline, item by item, by the paired tests of the gate."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.kinds import GraderKind
from deployments.evaluation.suites.results import ItemResult
from deployments.evaluation.suites.suite import Thresholds
from deployments.evaluation.suites.verdict import Check
from training.gate.comparison import one_sided_worse

__all__ = ["PairedScores", "check_regressions", "pair_scores"]

_LEVEL: Final = 1e-9


@dataclass(frozen=True, slots=True)
class PairedScores:
    """Scores of one grader on the items that both runs have."""

    candidate: tuple[float, ...]
    baseline: tuple[float, ...]


def pair_scores(
    candidate: Sequence[ItemResult], baseline: Sequence[ItemResult], grader: str
) -> PairedScores:
    """Pair by the items' content, so that a moved or a new item does no harm.

    Of equal items the first is paired with the first, and so on. Items in error, not applicable or
    in one run only are left out.
    """
    waiting: dict[str, list[ItemResult]] = {}
    for result in baseline:
        waiting.setdefault(_key(result), []).append(result)
    pairs: list[tuple[float, float]] = []
    for result in candidate:
        others = waiting.get(_key(result))
        if not others:
            continue
        ours, theirs = _value(result, grader), _value(others.pop(0), grader)
        if ours is not None and theirs is not None:
            pairs.append((ours, theirs))
    return PairedScores(tuple(a for a, _ in pairs), tuple(b for _, b in pairs))


def check_regressions(
    rules: Mapping[str, Thresholds],
    kinds: Sequence[GraderKind],
    candidate: Sequence[ItemResult],
    baseline: Sequence[ItemResult],
    *,
    alpha: float,
) -> list[Check]:
    """One check per grader with a `max_regression`.

    It fails where the mean is worse by more than is allowed *and* the paired one-sided test says
    worse at `alpha`, after Holm's correction (1979) over these graders: McNemar's exact test for
    scores of 0 and 1, else Wilcoxon's. Equal answers have no difference, so noise cannot fail it.
    Raises SuiteError where the runs share no item.
    """
    wanted = [kind for kind in kinds if _bound(rules, kind.name) is not None]
    found = {kind.name: pair_scores(candidate, baseline, kind.name) for kind in wanted}
    if wanted and not any(pairs.candidate for pairs in found.values()):
        raise SuiteError(
            "The baseline has no item and grader in common with this run.",
            fix="Compare with a run of the same suite.",
        )
    p_values = {
        kind.name: one_sided_worse(_differences(found[kind.name], kind), kind.binary)
        for kind in wanted
    }
    levels = _holm(p_values, alpha)
    return [
        _check(kind, found[kind.name], _bound(rules, kind.name) or 0.0, p_values, levels)
        for kind in wanted
    ]


def _check(
    kind: GraderKind,
    pairs: PairedScores,
    bound: float,
    p_values: Mapping[str, float],
    worse: Mapping[str, bool],
) -> Check:
    if not pairs.candidate:
        reason = f"{kind.name} has no item in common with the baseline's."
        return Check(kind.name, "max_regression", bound, None, False, reason)
    differences = _differences(pairs, kind)
    fall = -fmean(differences)
    failed = worse[kind.name] and fall > bound + _LEVEL
    test = "McNemar" if kind.binary else "Wilcoxon"
    reason = (
        f"{kind.name}: {fmean(pairs.candidate):.4g} against {fmean(pairs.baseline):.4g} on "
        f"{len(differences)} items, worse on {sum(d < 0 for d in differences)}, better on "
        f"{sum(d > 0 for d in differences)}; {test}, one-sided p = {p_values[kind.name]:.3g}, "
        f"{'worse' if worse[kind.name] else 'not shown to be worse'} after Holm; "
        f"allowed is a fall of {bound:.4g}."
    )
    return Check(kind.name, "max_regression", bound, fall, not failed, reason)


def _differences(pairs: PairedScores, kind: GraderKind) -> list[float]:
    """Candidate minus baseline, so that below 0 is worse."""
    sign = 1.0 if kind.higher_is_better else -1.0
    return [
        0.0 if abs(a - b) <= _LEVEL else sign * (a - b)
        for a, b in zip(pairs.candidate, pairs.baseline, strict=True)
    ]


def _holm(p_values: Mapping[str, float], alpha: float) -> dict[str, bool]:
    """Which are below `alpha` together: the smallest at alpha/n, the next at alpha/(n-1)."""
    rejected: dict[str, bool] = dict.fromkeys(p_values, False)
    for rank, (name, p_value) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        if p_value > alpha / (len(p_values) - rank):
            break
        rejected[name] = True
    return rejected


def _bound(rules: Mapping[str, Thresholds], name: str) -> float | None:
    return rules[name].max_regression if name in rules else None


def _key(result: ItemResult) -> str:
    return json.dumps(result.item, sort_keys=True, ensure_ascii=False)


def _value(result: ItemResult, grader: str) -> float | None:
    if result.error is not None or grader not in result.graded:
        return None
    return result.graded[grader].value
