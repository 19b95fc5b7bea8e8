"""What a drift monitor is set to: which requests, against which reference, how often, how sure."""

from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from cluster.sections.section import Section
from deployments.storable import MAX_COUNT, Moment

__all__ = [
    "EMBEDDED",
    "SCALARS",
    "FirstRequests",
    "FixedDates",
    "LastDays",
    "MonitorPlan",
    "ScalarName",
    "Schedule",
    "SignalName",
    "TraceFilters",
]

ScalarName = Literal[
    "retrieval_score", "answer_length", "refusals", "unsupported", "feedback", "cost", "latency"
]
SignalName = Literal["domain", "mmd"] | ScalarName
SCALARS: Final[tuple[ScalarName, ...]] = (
    "retrieval_score",
    "answer_length",
    "refusals",
    "unsupported",
    "feedback",
    "cost",
    "latency",
)
EMBEDDED: Final[tuple[SignalName, ...]] = ("domain", "mmd")
Name = Annotated[str, Field(min_length=1, max_length=256)]


class TraceFilters(Section):
    """Which requests are watched; those of an operator's own runs and shadows never are."""

    alias: Name | None = None
    """Only requests that called this alias."""
    model: Name | None = None
    """Only those that this version answered."""
    vector_store: Name | None = None
    """Only those that searched the store of this id."""
    route: Name | None = None
    """Only this route's, such as `/v1/responses`."""


class FirstRequests(Section):
    """The first requests that the monitor sees."""

    type: Literal["first_requests"] = "first_requests"
    requests: int = Field(default=2000, ge=200, le=5000)


class FixedDates(Section):
    """What was asked between two moments."""

    type: Literal["dates"]
    begin: Moment
    """Seconds since 1970, as `created_at`; included."""
    end: Moment
    """Not included."""

    @model_validator(mode="after")
    def _in_order(self) -> "FixedDates":
        if self.end <= self.begin:
            raise ValueError(f"end must come after begin; they are {self.end} and {self.begin}")
        return self


class LastDays(Section):
    """The days before each look's window: it moves along, and so forgets slow drift."""

    type: Literal["last_days"]
    days: float = Field(gt=0, le=366)


Reference = Annotated[FirstRequests | FixedDates | LastDays, Field(discriminator="type")]


class Schedule(Section):
    """When there is a look. Its window is what came since the last one: windows never overlap."""

    every_requests: int = Field(default=160, ge=50, le=5000)
    """As soon as so many new requests have come."""
    every_s: int | None = Field(default=None, ge=60, le=MAX_COUNT)
    """And, where it is given, so long after the last look with what has come."""
    min_requests: int = Field(default=50, ge=20, le=5000)
    """Fewer are never looked at."""

    @model_validator(mode="after")
    def _in_order(self) -> "Schedule":
        if self.min_requests > self.every_requests:
            raise ValueError(
                f"min_requests must be at most every_requests; they are {self.min_requests} and "
                f"{self.every_requests}"
            )
        return self


class MonitorPlan(Section):
    """All of it. Equal plans over equal traffic make equal reports."""

    filters: TraceFilters = TraceFilters()
    reference: Reference = FirstRequests()
    schedule: Schedule = Schedule()
    signals: tuple[SignalName, ...] = Field(default=(*EMBEDDED, *SCALARS), min_length=1)
    false_alarms: float = Field(default=0.02, gt=0, le=0.5)
    """Share of months with an alert that stable traffic may have: half of it by the questions'
    embeddings, half by all numbers together."""
    persistence: int = Field(default=2, ge=1, le=5)
    """Looks in a row that a signal must be out of bounds before it is told of."""
    calm_looks: int = Field(default=2, ge=1, le=20)
    """Looks in a row that it must be calm before the alert is resolved."""
    permutations: int = Field(default=1000, ge=200, le=20_000)
    """At least; more where the level asks for a smaller p-value."""

    @property
    def embeds(self) -> bool:
        """Whether questions must be embedded."""
        return any(name in self.signals for name in EMBEDDED)
