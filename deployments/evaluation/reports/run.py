"""All that a run found, in one document that is read back as it was written."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from cluster.sections.section import Section
from deployments.evaluation.reports.settings import ReportSettings
from training.gate.evidence import Interval

__all__ = [
    "AnswerTimes",
    "Bin",
    "ErrorKind",
    "GraderReport",
    "ItemScore",
    "ReportedItem",
    "RunReport",
    "SliceScore",
    "TokenCosts",
]


class Bin(Section):
    """One bar of a histogram."""

    low: float
    high: float
    """Excluded, but for the last bin."""
    count: int


class SliceScore(Section):
    """One grader on the items that have one value of a field."""

    name: str
    items: int
    """With a score."""
    mean: float
    interval: Interval | None = None
    """Null where the slice is too small."""


class GraderReport(Section):
    """What one grader said of the run."""

    name: str
    metric: str
    binary: bool
    higher_is_better: bool
    scored: int
    unscored: int
    """Items to which it does not apply, or that have an error."""
    mean: float | None = None
    """Null without scores, as are the next five."""
    interval: Interval | None = None
    """Of the mean; null under two scores too."""
    spread: float | None = None
    """Standard deviation; null under two scores too."""
    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    passed: int = 0
    """Items at or beyond the grader's threshold."""
    failed: int = 0
    pass_rate: float | None = None
    """Null where no threshold is set."""
    pass_interval: Interval | None = None
    histogram: tuple[Bin, ...] = ()
    summary: dict[str, float | None] = Field(default_factory=dict)
    """Figures that are no mean, such as corpus BLEU; null where one is no finite number."""
    judge: dict[str, Any] = Field(default_factory=dict)
    """The judge's own report; empty where no judge takes part."""
    slices: tuple[SliceScore, ...] = ()
    """The worst first."""
    slices_left_out: int = 0
    """Slices beyond `max_slices`."""


class AnswerTimes(Section):
    """Seconds of the answers."""

    answers: int
    """With a time."""
    mean_s: float
    median_s: float
    p95_s: float
    longest_s: float


class TokenCosts(Section):
    """What the answers took."""

    answers: int
    """With counted tokens."""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None = None
    """By the prices that are set; null where one is missing."""


class ErrorKind(Section):
    """One reason why items have no scores."""

    message: str
    count: int
    numbers: tuple[int, ...]
    """The first ten items."""


class ItemScore(Section):
    """What one grader said of an item."""

    grader: str
    value: float | None
    passed: bool | None


class ReportedItem(Section):
    """One item with its answer. Long texts are cut."""

    number: int
    question: str
    reference: str
    answer: str
    model: str | None
    seconds: float | None
    refused: bool
    synthetic: bool
    scores: tuple[ItemScore, ...]


class RunReport(Section):
    """One run of an eval. `model_dump_json` writes it, `model_validate_json` reads it."""

    schema_version: Literal[1] = 1
    """Changes with the meaning of a field."""
    at: datetime
    """When it was written, in UTC."""
    name: str
    settings: ReportSettings
    items: int
    answered: int
    """Items without an error."""
    refused: int
    """Answers that are the platform's own «I don't know»."""
    synthetic: int
    """Items that a model made up."""
    models: dict[str, int]
    """Answers by what gave them."""
    graders: tuple[GraderReport, ...]
    errors: tuple[ErrorKind, ...] = ()
    """The most frequent first."""
    times: AnswerTimes | None = None
    """Null where no answer has a time."""
    tokens: TokenCosts | None = None
    """Null where no answer has counted tokens."""
    worst: tuple[ReportedItem, ...] = ()
    """Those that fail most graders first, then those with the lowest scores."""
    slowest: tuple[ReportedItem, ...] = ()

    def page(self) -> str:
        """The report as one HTML page that needs nothing beside it."""
        from deployments.evaluation.reports.page import run_page

        return run_page(self)
