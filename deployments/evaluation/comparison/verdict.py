"""From findings to a verdict: pure, and the only place that says what «better» needs.

A metric is better or worse where three things agree: the metric's test rejects «no difference» and
Student's a mean of 0, both after Holm's correction; the mean moved the way the test leans; and the
interval excludes 0. The metric's test alone is not enough: Wilcoxon's looks at ranks, and rejects a
skewed difference whose mean is 0.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from training.gate.evidence import Paired

__all__ = ["Finding", "Outcome", "SliceOutcome", "Whole", "judge", "judge_whole"]

Outcome = Literal["better", "worse", "no difference shown", "mixed"]
SliceOutcome = Literal["better", "worse", "no difference shown", "mixed", "too small"]


class Finding(NamedTuple):
    """One test, turned so that a positive gain is good."""

    p_value: float
    """Two-sided, after Holm's correction."""
    mean_p_value: float
    """Of a mean of 0, after Holm's correction too."""
    direction: Literal["better", "worse", "level"]
    """Which way the test's statistic leans."""
    gain: float
    """Mean difference."""
    low: float
    """Of the gain's interval; equal to `high` and the gain where there is none."""
    high: float

    @classmethod
    def of(cls, found: Paired, p_value: float, mean_p_value: float) -> "Finding":
        """What a test of gains found, with its adjusted p-values."""
        interval, gain = found.interval, found.difference
        low, high = (interval.low, interval.high) if interval else (gain, gain)
        return cls(p_value, mean_p_value, found.direction, gain, low, high)


class Whole(NamedTuple):
    """The verdict on all metrics together."""

    outcome: Outcome
    reasons: tuple[str, ...]


def judge(found: Finding, *, alpha: float, min_difference: float) -> tuple[Outcome, str]:
    """The verdict of one test, and why in half a sentence."""
    if found.p_value >= alpha or found.direction == "level":
        return "no difference shown", "no difference is shown"
    leans = 1 if found.direction == "better" else -1
    if leans * found.gain < 0:
        return "mixed", "more items move one way, but the mean goes the other"
    if found.mean_p_value >= alpha or found.low <= 0 <= found.high:
        return "no difference shown", "items move one way, but the mean may be level"
    if abs(found.gain) < min_difference:
        return "no difference shown", f"the difference is smaller than {min_difference:g}"
    return found.direction, f"the candidate is {found.direction}"


def judge_whole(
    metrics: Sequence[tuple[str, Outcome]],
    slices: Sequence[tuple[str, str, SliceOutcome]] = (),
    unjudged: Sequence[str] = (),
) -> Whole:
    """Weigh the metrics' verdicts, and those of slices: (metric, slice, outcome).

    `unjudged` are metrics of which too many scores are missing: they are told, and decide nothing.

    A slice that is worse takes away a «better», and is told where no metric differs as a whole; a
    slice that is better gives none.
    """
    better = [name for name, outcome in metrics if outcome == "better"]
    worse = [name for name, outcome in metrics if outcome == "worse"]
    mixed = [name for name, outcome in metrics if outcome == "mixed"]
    harmed = [f"{name} on «{part}»" for name, part, outcome in slices if outcome == "worse"]
    told: tuple[tuple[str, Sequence[str]], ...] = (
        ("Better", better),
        ("Worse", worse),
        ("Test and mean disagree", mixed),
        ("Worse in part", harmed),
        ("Not judged, for too many scores are missing in one run", unjudged),
    )
    reasons = tuple(f"{what}: {_named(names)}." for what, names in told if names)
    if mixed or (better and worse) or (harmed and not worse):
        return Whole("mixed", reasons)
    if better or worse:
        return Whole("better" if better else "worse", reasons)
    return Whole("no difference shown", ("No metric shows a difference.", *reasons))


def _named(names: Sequence[str], most: int = 5) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
