"""Whether a run is good enough: pure rules over its figures.

Every check compares a figure with a number from the suite or the command line, and nothing else
decides. The figures are shares and means of answers that are the same every time (temperature 0 and
a seed), so a check falls the same way every time; `spare` says how many items lie between a share
and the other side.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.kinds import GraderKind
from deployments.evaluation.suites.results import Figures
from deployments.evaluation.suites.suite import Thresholds

__all__ = ["Check", "FailUnder", "Verdict", "check_figures", "parse_fail_under", "rules_of"]

_LEVEL: Final = 1e-9
"""Smaller distances to a threshold are none: 27 of 30 keeps 0.9."""

Rule = Literal["min_mean", "max_mean", "min_pass_rate", "max_regression", "complete"]


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, and whether it was kept."""

    grader: str
    """Empty where it is about the whole run."""
    rule: Rule
    wanted: float
    found: float | None
    passed: bool
    reason: str
    """One sentence."""
    spare: int | None = None
    """Of a pass rate: items that could fail more (kept), or that fail too many (not kept)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of a run."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check was kept."""
        return all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class FailUnder:
    """What `--fail-under` asks for."""

    pass_rate: float | None = None
    """Least pass rate of every grader that passes or fails items."""
    means: Mapping[str, float] = field(default_factory=dict)
    """Least mean score, by grader."""


def parse_fail_under(given: Sequence[str]) -> FailUnder:
    """Read `0.9` and `grader=0.8`. Raises SuiteError for anything else."""
    rate: float | None = None
    means: dict[str, float] = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        value = _number(text, number)
        if equals:
            means[name.strip()] = value
        elif rate is not None:
            raise SuiteError(
                "--fail-under has two plain numbers.",
                fix="Give one, and GRADER=NUMBER for single graders.",
            )
        elif not 0 <= value <= 1:
            raise SuiteError(
                f"--fail-under {text} is no share.",
                fix="Give a number from 0 to 1, or GRADER=NUMBER for a mean score.",
            )
        else:
            rate = value
    return FailUnder(rate, means)


def rules_of(
    thresholds: Mapping[str, Thresholds],
    kinds: Sequence[GraderKind],
    fail_under: FailUnder,
    *,
    baseline: bool,
) -> dict[str, Thresholds]:
    """The thresholds that hold: the suite's, with the command line's in their place.

    A plain number sets the least pass rate of every grader that passes or fails items, and
    GRADER=NUMBER the least mean of one. With a baseline, and no `max_regression` in the suite,
    every grader has one of 0: whatever the paired test shows to be worse fails. Raises SuiteError
    where a name or a rule fits no grader.
    """
    names = [kind.name for kind in kinds]
    judging = [kind.name for kind in kinds if kind.judges]
    for name in fail_under.means:
        if name not in names:
            raise SuiteError(
                f"--fail-under names {name!r}, which is no grader of the suite.",
                fix=f"Its graders are: {', '.join(names)}.",
            )
    if fail_under.pass_rate is not None and not judging:
        raise SuiteError(
            f"--fail-under {fail_under.pass_rate} is a pass rate, and no grader of the suite "
            "passes or fails items.",
            fix="Give a grader a pass_threshold, or use --fail-under GRADER=NUMBER for its mean.",
        )
    for name, rule in thresholds.items():
        if rule.min_pass_rate is not None and name not in judging:
            raise SuiteError(
                f"thresholds.{name}.min_pass_rate: {name} does not pass or fail items.",
                fix="Give it a pass_threshold, or set min_mean or max_mean.",
            )
    with_regression = any(rule.max_regression is not None for rule in thresholds.values())
    if with_regression and not baseline:
        raise SuiteError(
            "thresholds.…max_regression needs a run to compare with.",
            fix="Give --baseline RUN, or set `baseline` in the suite.",
        )
    rules: dict[str, Thresholds] = {}
    for name in names:
        changes: dict[str, float] = {}
        if fail_under.pass_rate is not None and name in judging:
            changes["min_pass_rate"] = fail_under.pass_rate
        if name in fail_under.means:
            changes["min_mean"] = fail_under.means[name]
        if baseline and not with_regression:
            changes["max_regression"] = 0.0
        given = thresholds.get(name)
        held = (given.model_dump(exclude_none=True) if given else {}) | changes
        if held:
            rules[name] = Thresholds(**held)
    return rules


def check_figures(
    rules: Mapping[str, Thresholds], figures: Sequence[Figures], *, errors: int, items: int
) -> list[Check]:
    """The checks that need no baseline. A run with an item in error is never good enough."""
    complete = f"{items - errors} of {items} items were answered and graded."
    checks = [Check("", "complete", 0, errors, not errors, complete)]
    for found in figures:
        rule = rules.get(found.grader)
        if rule is None:
            continue
        if rule.min_pass_rate is not None:
            checks.append(_pass_rate(found, rule.min_pass_rate))
        if rule.min_mean is not None:
            checks.append(_mean(found, "min_mean", rule.min_mean))
        if rule.max_mean is not None:
            checks.append(_mean(found, "max_mean", rule.max_mean))
    return checks


def _pass_rate(found: Figures, wanted: float) -> Check:
    rate = found.pass_rate
    if rate is None:
        return _nothing(found, "min_pass_rate", wanted)
    needed = math.ceil(wanted * found.judged - _LEVEL)
    kept = found.passed >= needed
    reason = (
        f"{found.grader} passes {found.passed} of {found.judged} items, {rate:.4g}; "
        f"needed are {needed}, {wanted:.4g}."
    )
    spare = abs(found.passed - needed)
    return Check(found.grader, "min_pass_rate", wanted, rate, kept, reason, spare)


def _mean(found: Figures, rule: Literal["min_mean", "max_mean"], wanted: float) -> Check:
    if found.mean is None:
        return _nothing(found, rule, wanted)
    least = rule == "min_mean"
    kept = found.mean >= wanted - _LEVEL if least else found.mean <= wanted + _LEVEL
    bound = "least" if least else "most"
    reason = (
        f"{found.grader} has a mean of {found.mean:.4g} over {found.scored} items; "
        f"allowed is at {bound} {wanted:.4g}."
    )
    return Check(found.grader, rule, wanted, found.mean, kept, reason)


def _nothing(found: Figures, rule: Rule, wanted: float) -> Check:
    return Check(found.grader, rule, wanted, None, False, f"{found.grader} scored no item.")


def _number(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SuiteError(
            f"--fail-under {text!r} has no number.",
            fix="Write --fail-under 0.9, or --fail-under GRADER=0.8.",
        )
    return value
