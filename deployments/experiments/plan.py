"""What a person sets for an experiment: metric, guardrails, errors allowed, ramp, promotion."""

from typing import Any, Final, Literal, Self

from pydantic import Field, model_validator

from cluster.sections.section import Section
from deployments.storable import Count

__all__ = ["DEFAULT_GUARDRAILS", "Fault", "Guardrail", "Metric", "Plan", "Promotion", "RampStep"]

Fault = Literal["error", "empty", "refused"]
_WAITS: Final = {"trace": 300.0, "score": 300.0, "feedback": 3600.0}
_UNBOUNDED: Final = ("trace:latency_ms", "trace:cost", "trace:tokens")


class Metric(Section):
    """What arms are compared by: one value for each user."""

    name: str = Field(
        pattern=r"^(score:[A-Za-z0-9_.-]{1,64}|feedback:[A-Za-z0-9_.-]{1,64}"
        r"|trace:(refused|error|empty|latency_ms|cost|tokens))$"
    )
    """`score:NAME` of the traces' scores, `feedback:NAME` (its score, or thumbs as 0 and 1), or a
    fact of the trace: `trace:refused`, `error`, `empty`, `latency_ms`, `cost`, `tokens`."""
    direction: Literal["higher", "lower"] | None = None
    """Which is better; by default higher for scores and feedback, lower for facts of the trace."""
    low: float = Field(default=0.0, allow_inf_nan=False)
    """Least value; what is below counts as this."""
    high: float | None = Field(default=None, allow_inf_nan=False)
    """Largest value; what is above counts as this. 1 by default; latency, cost and tokens need
    one, for confidence sequences hold for bounded values."""

    wait_s: float | None = Field(default=None, ge=0.1, le=30 * 86400)
    """A request counts once it began so long ago, by what was known of it then, and requests that
    took longer do not. The same for all arms, so that a slow arm is not seen through its quick
    answers. By default five minutes for facts of the trace and for scores, an hour for feedback."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.high is None and self.name in _UNBOUNDED:
            raise ValueError(f"{self.name} needs `high`, its largest value that counts")
        if self.low >= self.top:
            raise ValueError("low must be below high")
        return self

    @property
    def waits(self) -> float:
        """`wait_s`, or the default of its kind."""
        kind = self.name.partition(":")[0]
        return _WAITS[kind] if self.wait_s is None else self.wait_s

    @property
    def top(self) -> float:
        """Largest value."""
        return 1.0 if self.high is None else self.high

    @property
    def higher_is_better(self) -> bool:
        """As said, or as its kind has it."""
        if self.direction is None:
            return not self.name.startswith("trace:")
        return self.direction == "higher"

    def clipped(self, value: float) -> float:
        """`value` within the bounds."""
        return min(self.top, max(self.low, value))


class Guardrail(Section):
    """A bound; an arm that is shown to be above is stopped. At least one of both is needed."""

    fault: Fault
    """`error`: the answer failed by our doing (5xx, a prompt too long for the model); `empty`: it
    said nothing; `refused`: it said that the documents do not tell."""
    max_rate: float | None = Field(default=None, gt=0, lt=1)
    """Share of an arm's requests, each of which counts. Seen soonest: where an arm breaks, within
    some ten of its requests."""
    max_increase: float | None = Field(default=None, ge=0, lt=1)
    """Share of its users beyond the control's, the first request of each counts."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.max_rate is None and self.max_increase is None:
            raise ValueError("max_rate or max_increase is needed")
        return self


DEFAULT_GUARDRAILS: Final = (
    Guardrail(fault="error", max_rate=0.1),
    Guardrail(fault="empty", max_rate=0.1),
    Guardrail(fault="refused", max_rate=0.5, max_increase=0.2),
)


class RampStep(Section):
    """A share of the alias's traffic, and how long it is held before the next step."""

    share: float = Field(gt=0, le=1)
    units: Count | None = None
    """Until so many users have been in the experiment;"""
    seconds: float | None = Field(default=None, gt=0)
    """or until so long has passed. With neither the step is the last."""


class Promotion(Section):
    """What becomes of an arm that wins."""

    mode: Literal["gate", "manual"] = "manual"
    """`gate`: it is compared with the alias on held-out data, and the gate's verdict moves the
    alias; `manual`: it waits for a person."""
    evaluation_file: str | None = Field(default=None, min_length=1, max_length=64)
    """The held-out rows that the gate asks."""
    gate: dict[str, Any] = Field(default_factory=dict)
    """Settings of the gate, as `/v1/gate_runs` has them."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.mode == "gate" and self.evaluation_file is None:
            raise ValueError("mode gate needs `evaluation_file`, the rows that the gate asks")
        return self


class Plan(Section):
    """Everything that is decided before the first answer."""

    metric: Metric
    guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS
    guardrail_alpha: float = Field(default=0.01, gt=0, lt=0.5)
    """Probability that an arm within a bound is ever stopped by it; of each arm and guardrail."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Probability that any statement about a difference is wrong, whenever one looks; of all arms
    together."""
    min_effect: float = Field(default=0.02, gt=0, allow_inf_nan=False)
    """Smallest difference that matters, in the metric's unit: arms shown to be closer are equal."""
    max_units: int = Field(default=100_000, ge=2, le=1_000_000)
    """Users after which it ends without a winner."""
    max_hours: float = Field(default=14 * 24.0, gt=0, le=24 * 366)
    """Hours after which it ends without a winner."""
    ramp: tuple[RampStep, ...] = Field(default=(RampStep(share=1.0),), min_length=1, max_length=20)
    promotion: Promotion = Promotion()

    @model_validator(mode="after")
    def _ramp_grows(self) -> Self:
        for earlier, later in zip(self.ramp, self.ramp[1:], strict=False):
            if later.share <= earlier.share:
                raise ValueError("ramp must grow: each share larger than the one before")
            if earlier.units is None and earlier.seconds is None:
                raise ValueError("ramp: every step but the last needs `units` or `seconds`")
        faults = [guardrail.fault for guardrail in self.guardrails]
        if len(set(faults)) < len(faults):
            raise ValueError("guardrails: each fault can be named once")
        return self
