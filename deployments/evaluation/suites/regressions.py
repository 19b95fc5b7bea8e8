"""Whether a run is worse than its baseline, by the service's paired comparison of the two."""

from collections.abc import Mapping
from typing import Any, Final

from deployments.evaluation.suites.suite import Thresholds
from deployments.evaluation.suites.verdict import Check

__all__ = ["check_regressions"]

_LEVEL: Final = 1e-9


def check_regressions(rules: Mapping[str, Thresholds], report: Mapping[str, Any]) -> list[Check]:
    """One check per grader with a `max_regression`, from the report of `/v1/evals/comparisons`.

    It fails where the comparison calls the grader worse, which needs the paired test after Holm's
    correction and the interval of the mean difference, *and* the mean fell by more than is allowed.
    Equal answers have no difference, so noise cannot fail it. A grader that could not be compared
    fails too.
    """
    compared = {str(found["grader"]): found for found in report.get("metrics") or ()}
    left_out = {str(one["grader"]): str(one["reason"]) for one in report.get("left_out") or ()}
    return [
        _check(name, rule.max_regression, compared.get(name), left_out.get(name))
        for name, rule in rules.items()
        if rule.max_regression is not None
    ]


def _check(name: str, bound: float, found: Mapping[str, Any] | None, why_not: str | None) -> Check:
    if found is None:
        reason = f"{name} was not compared: {why_not or 'the baseline has no such grader.'}"
        return Check(name, "max_regression", bound, None, False, reason)
    difference = float(found["difference"])
    fall = -difference if found.get("higher_is_better", True) else difference
    failed = found["verdict"] == "worse" and fall > bound + _LEVEL
    reason = f"{found['reason']} Allowed is a fall of {bound:.4g}."
    return Check(name, "max_regression", bound, fall, not failed, reason)
