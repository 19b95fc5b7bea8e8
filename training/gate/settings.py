"""What a person sets for the gate: how candidate and champion are compared, and the bounds."""

from typing import Any, Literal

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["Bounds", "GateSettings", "MetricChoice"]

MetricChoice = Literal["auto", "exact_match", "token_f1", "log_likelihood"]


class Bounds(Section):
    """What a candidate must keep to. `training.gate.verdict.decide` reads nothing else."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Probability of error: of the two-sided comparison, and of all slices together."""
    min_improvement: float = Field(default=0.02, ge=0)
    """Least mean difference that is worth a promotion, in the metric's unit: 0.02 is 2 points. A
    model that guesses one of 77 labels beats one that names none, by 1.3 points, and for certain.
    """
    parity: float = Field(default=0.05, gt=0)
    """Largest difference of a token's log-probability, in nats, between trained, merged and served
    weights. Suits float32 on a CPU; weights served in bfloat16 differ by up to some 0.3."""
    slice: float = Field(default=0.02, ge=0)
    """How much worse a slice may be before its evidence counts, in the metric's unit."""
    latency_median: float = Field(default=1.25, gt=0)
    """Largest ratio of the candidate's median latency to the champion's."""
    latency_p95: float = Field(default=1.5, gt=0)
    """The same for the 95th percentile, which noise moves more."""
    adapter_bytes: int = Field(default=512 * 1024**2, ge=1)
    """Largest adapter: every replica loads it on demand."""
    unanswered: float = Field(default=0.01, ge=0, lt=1)
    """Share of items without an answer from both sides above which nothing is concluded."""


class GateSettings(Section):
    """One run of the gate."""

    metric: MetricChoice = "auto"
    """What an answer is worth. `auto` is `exact_match` where nine of ten references have at most
    `short_reference_words` words, else `log_likelihood`."""
    grader: dict[str, Any] | None = None
    """A grader of the Evaluator, as `testing_criteria` has it, that scores both sides' answers in
    place of `metric`. Its templates read `item.question`, `item.reference`, `item.metadata` and
    `sample.output_text`. A judge below the Evaluator's `judge_bar` may not decide."""
    file_search: dict[str, Any] | None = None
    """Sent with each question, as `/v1/chat/completions` takes it: both sides then answer from the
    documents of its `vector_store_ids`."""
    grading_timeout_s: float = Field(default=3600.0, gt=0)
    """Time limit of the grader's run."""
    short_reference_words: int = Field(default=8, ge=1)
    """Up to so many words a reference can be asked for word by word."""
    bounds: Bounds = Bounds()
    """What a candidate must keep to."""
    slice_by: str = Field(default="auto", pattern=r"^(auto|none|reference|metadata\..+)$")
    """Which items form a slice: those of one `reference`, or of one value of `metadata.NAME` in
    their rows. `auto` takes the references under `exact_match` where they repeat, else none."""
    min_slice_items: int = Field(default=20, ge=2)
    """A slice with fewer items is judged by those that differ, where they are enough to show
    anything (6 at an `alpha` of 0.05); else it is shown, not judged."""
    max_items: int = Field(default=500, ge=1)
    """Held-out items that are asked, drawn by `seed` where there are more."""
    max_answer_tokens: int | None = Field(default=None, ge=1)
    """Longest answer; null is twice the longest reference and 16 tokens more, 512 at most."""
    concurrency: int = Field(default=4, ge=1, le=256)
    """Requests in flight at once, of both sides together."""
    retries: int = Field(default=8, ge=0)
    """How often a request that met a full or starting service (429, 503) is sent again."""
    request_timeout_s: float = Field(default=300.0, gt=0)
    """Time limit of one request."""
    parity_items: int = Field(default=4, ge=0)
    """Held-out items among the fixed prompts of the parity check."""
    parity_precision: Literal["auto", "fp32", "bf16"] = "fp32"
    """In what the gate computes with trained and merged weights; `auto` asks the hardware."""
    resamples: int = Field(default=9999, ge=100)
    """Bootstrap samples behind the interval."""
    items_kept: int = Field(default=200, ge=0)
    """Items that the report shows with both answers, those that differ most first."""
    seed: int = Field(default=0, ge=0)
    """Draws items and bootstrap samples, and goes with each request."""
