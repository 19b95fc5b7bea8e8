"""All that a comparison found, in one document that is read back as it was written."""

from datetime import datetime
from typing import Literal

from cluster.sections.section import Section
from deployments.evaluation.comparison.effects import Effect
from deployments.evaluation.comparison.settings import ComparisonSettings
from deployments.evaluation.comparison.verdict import Outcome, SliceOutcome
from training.gate.evidence import Interval, Paired

__all__ = [
    "ComparedItem",
    "ComparedScore",
    "ComparisonReport",
    "LeftOut",
    "MetricComparison",
    "Missing",
    "PairingReport",
    "SliceComparison",
]


class PairingReport(Section):
    """What became of the items of both runs."""

    by: str
    """`item`, `number` or `item.NAME`."""
    pairs: int
    synthetic: int
    """Pairs whose item a model made up."""
    baseline_only: tuple[int, ...] = ()
    """Numbers of the baseline's items that the candidate's run does not have."""
    candidate_only: tuple[int, ...] = ()
    """Numbers of the candidate's items that the baseline's run does not have."""


class Missing(Section):
    """Pairs that a metric has no score for, by the baseline's numbers."""

    baseline: tuple[int, ...] = ()
    """Only the candidate has a score."""
    candidate: tuple[int, ...] = ()
    """Only the baseline has a score."""
    both: int = 0
    """Neither has one."""


class SliceComparison(Section):
    """The comparison on the pairs that have one value of a field."""

    name: str
    items: int
    baseline: float
    """Mean score."""
    candidate: float
    """Mean score."""
    difference: float
    """Candidate minus baseline."""
    interval: Interval | None = None
    """Null where the slice is too small."""
    p_value: float | None = None
    """Two-sided, adjusted by Holm over all judged slices of all metrics."""
    verdict: SliceOutcome


class MetricComparison(Paired):
    """Candidate minus baseline by one grader, in the metric's own unit."""

    grader: str
    metric: str
    binary: bool
    higher_is_better: bool
    baseline: float
    """Mean score."""
    candidate: float
    """Mean score."""
    wins: int
    """Pairs on which the candidate does better, whichever way is better."""
    losses: int
    """Pairs on which it does worse; the others are ties."""
    adjusted_p_value: float
    """By Holm over all metrics."""
    effects: tuple[Effect, ...]
    missing: Missing
    verdict: Outcome
    reason: str
    """One sentence with the numbers."""
    slices: tuple[SliceComparison, ...] = ()
    """The worst first."""
    slices_left_out: int = 0
    """Slices beyond `max_slices`."""


class LeftOut(Section):
    """A grader that was not compared."""

    grader: str
    reason: str


class ComparedScore(Section):
    """One grader's scores of a pair."""

    grader: str
    baseline: float | None
    candidate: float | None


class ComparedItem(Section):
    """One pair with both answers. Long texts are cut."""

    number: int
    """In the baseline's run."""
    candidate_number: int
    question: str
    reference: str
    baseline: str
    candidate: str
    scores: tuple[ComparedScore, ...]
    synthetic: bool


class ComparisonReport(Section):
    """Two runs on the same items. `model_dump_json` writes it, `model_validate_json` reads it."""

    schema_version: Literal[1] = 1
    """Changes with the meaning of a field."""
    at: datetime
    """When they were compared, in UTC."""
    baseline: str
    """The run's name."""
    candidate: str
    """The run's name."""
    settings: ComparisonSettings
    pairing: PairingReport
    verdict: Outcome
    reasons: tuple[str, ...]
    metrics: tuple[MetricComparison, ...]
    """In the baseline's order of graders."""
    left_out: tuple[LeftOut, ...] = ()
    items: tuple[ComparedItem, ...] = ()
    """Those that differ most first, `settings.items_kept` at most."""

    def page(self) -> str:
        """The report as one HTML page that needs nothing beside it."""
        from deployments.evaluation.reports.page import comparison_page

        return comparison_page(self)
