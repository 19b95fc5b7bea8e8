"""What the gate found out: one frozen record per part, as it stands in the report's JSON."""

from typing import Any, Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = [
    "Answers",
    "Comparison",
    "Evidence",
    "Interval",
    "Judge",
    "Latency",
    "Paired",
    "Parity",
    "Probe",
    "Size",
    "Slice",
    "Slices",
    "Timings",
]

TestName = Literal["McNemar, exact", "Wilcoxon signed-rank"]


class Probe(Section):
    """One fixed prompt of the parity check."""

    name: str
    """`fixed N` or `item N`."""
    tokens: int
    """Of the expected answer."""
    merged: float | None = None
    """Largest difference of trained and merged weights over these tokens, in nats."""
    served: float
    """Largest difference of trained and served weights, in nats."""
    adapter_effect: float | None = None
    """Largest difference of trained weights and the base's, in nats."""
    same_template: bool | None = None
    """Whether the service renders the conversation to the training's tokens; null for a text."""
    template_note: str = ""
    """Where the two part."""


class Parity(Section):
    """Whether what is served is what was trained."""

    probes: tuple[Probe, ...]
    merged: float | None = None
    """Largest difference of any token between trained and merged weights; null: no adapter."""
    served: float
    """Largest difference of any token between trained and served weights."""
    adapter_effect: float | None = None
    """Largest difference that the adapter makes to any token; null: no adapter. Below the bound
    the check could not tell the adapter from its base."""
    templates_checked: int
    """Conversations whose tokens were compared."""
    templates_differ: int
    """Of them, those that the service renders otherwise than the training did."""
    error: str = ""
    """Why it could not be measured; then nothing else here counts."""
    skipped: str = ""
    """Why it does not apply; then nothing else here counts."""


class Interval(Section):
    """A confidence interval at 1 - alpha, of a mean or of a mean difference."""

    low: float
    high: float
    method: Literal["BCa", "BCa + t", "percentile", "degenerate", "Tango", "Wilson"]
    """Bias-corrected and accelerated bootstrap, alone or with what Student's t interval adds to it;
    `percentile` where that is undefined; `degenerate` where all values are equal, so that
    resampling shows no spread; score intervals of a difference of shares (`Tango`) and of a share
    (`Wilson`)."""


class Paired(Section):
    """What a test of two sides on the same items found."""

    test: TestName
    items: int
    """Pairs with an answer from both sides."""
    difference: float
    """Mean of candidate minus the other side."""
    interval: Interval | None
    """Null under two items."""
    p_value: float
    """Two-sided."""
    mean_p_value: float | None = None
    """Two-sided, of a mean difference of 0: Student's paired test; on 0 and 1 McNemar's again."""
    direction: Literal["better", "worse", "level"]
    """Which way the test's own statistic leans, whatever the mean does."""
    detectable: float | None
    """Smallest true difference that so many items show with probability 0.8; null: none."""
    power: str
    """The same in words."""


class Comparison(Paired):
    """Candidate minus champion on the same items."""

    metric: str
    """Of the gate, or the grader's name."""
    unit: str
    candidate: float
    """Mean score."""
    champion: float
    """Mean score."""
    candidate_ahead: int
    """Items on which the candidate scores higher: discordant pairs."""
    champion_ahead: int
    """Items on which the champion scores higher."""


class Slice(Section):
    """The comparison on some of the items."""

    name: str
    items: int
    candidate: float
    champion: float
    difference: float
    interval: Interval | None = None
    p_value: float | None = None
    """One-sided, that the candidate is worse, adjusted by Holm over the slices that are judged; 1
    on a small slice where it is not behind; null where the slice is too small."""
    verdict: Literal["fine", "suspect", "regression", "too small"]
    """`suspect`: worse beyond the bound, but the evidence is not enough. `too small`: under
    `min_items`, and so few items differ that losing all of them would show nothing."""


class Slices(Section):
    """All slices, the worst first."""

    by: str
    """`none`, `reference` or `metadata.NAME`."""
    min_items: int
    slices: tuple[Slice, ...] = ()

    @property
    def judged(self) -> tuple[Slice, ...]:
        """Those that are not too small."""
        return tuple(one for one in self.slices if one.verdict != "too small")


class Timings(Section):
    """Seconds of one side's answers."""

    median_s: float
    p95_s: float
    tokens: float
    """Mean tokens of an answer: longer answers take longer."""
    cut: int
    """Answers that ended at the limit of tokens."""


class Latency(Section):
    """Both sides' requests, sent in turns under the same load."""

    requests: int
    """Of each side."""
    candidate: Timings
    champion: Timings
    median_ratio: float
    p95_ratio: float


class Size(Section):
    """What a replica loads for the candidate."""

    adapter_bytes: int
    """Of the adapter's weights; 0 where the candidate has none of its own."""


class Answers(Section):
    """What became of the held-out items."""

    held_out: int
    """Rows of the set."""
    asked: int
    left_out: int
    """Rows without a reference text, such as calls of tools."""
    unanswered: int
    """Asked, but not answered by both sides."""
    errors: tuple[str, ...] = ()
    """Why, one sentence for each kind."""


class Judge(Section):
    """The model that gave the scores, where one did."""

    allowed: bool
    """Whether its own report lets it decide."""
    reasons: tuple[str, ...] = ()
    """Why not."""
    figures: dict[str, Any] = Field(default_factory=dict)
    """Its report: flip rate, parse failures, agreement with people."""


class Evidence(Section):
    """Everything that the verdict rests on."""

    parity: Parity
    answers: Answers
    comparison: Comparison | None
    """Null where no item was answered by both sides."""
    slices: Slices
    latency: Latency | None
    size: Size = Field(default=Size(adapter_bytes=0))
    judge: Judge | None = None
    """Null where no judge takes part."""
