"""What one look found, as it is stored and shown."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from deployments.drift.plan import SignalName

__all__ = [
    "Bounds",
    "Example",
    "LookReport",
    "QualityReport",
    "SignalReport",
    "TopicReport",
    "WindowReport",
]

QualityVerdict = Literal["fell", "did not fall", "too few to say"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Bounds(_Part):
    """An interval at 95 %."""

    low: float
    high: float


class WindowReport(_Part):
    """Which requests were looked at."""

    requests: int
    """All of them; `looked_at` where they were too many."""
    looked_at: int
    begin: int
    """When the first of them came, in seconds since 1970."""
    end: int
    first_trace: str
    last_trace: str


class SignalReport(_Part):
    """One signal."""

    name: SignalName
    test: Literal["domain classifier", "MMD", "PSI"]
    value: float | None = None
    """AUC, MMD² or PSI; null where too few requests have the signal."""
    p_value: float | None = None
    level: float = 0.0
    """p-values up to it are out of bounds."""
    out: bool = False
    """The p-value is at most the level."""
    looks_out: int = 0
    """Looks in a row for which it has been out of bounds."""
    size: Literal["small", "medium", "large"] | None = None
    """Of a PSI by the rule of thumb: below 0.1, below 0.25, above. It decides nothing."""
    reference_mean: float | None = None
    current_mean: float | None = None
    reference_requests: int
    current_requests: int
    note: str = ""
    """Why there is no value."""


class Example(_Part):
    """A question, and the trace that holds it."""

    trace: str
    question: str


class QualityReport(_Part):
    """Answers of a topic by one measure, against what is usual."""

    measure: str
    current: float
    before: float
    against: Literal["the topic before", "all topics before"]
    """The second where the topic was hardly asked about before."""
    difference: float
    """Current minus before; negative is worse for every measure."""
    interval: Bounds
    verdict: Literal["fell", "did not fall"]


class TopicReport(_Part):
    """A cluster of questions."""

    number: int
    keywords: list[str]
    reference_requests: int
    current_requests: int
    reference_share: float
    current_share: float
    interval: Bounds
    """Of the change of the share."""
    p_value: float
    """Fisher's exact test, with Holm's correction over the topics."""
    moved: Literal["rose", "fell", "no"]
    examples: list[Example]
    """Current questions, the most typical first; reference ones where there are none."""
    quality: list[QualityReport]
    quality_verdict: QualityVerdict
    traces: list[str]
    """All current requests of the topic."""


class LookReport(_Part):
    """A look."""

    reference: WindowReport
    current: WindowReport
    looks_a_month: float
    """What the levels were made for."""
    persistence: int
    signals: list[SignalReport]
    topics: list[TopicReport]
    """Largest change first; empty where questions are not embedded."""
    action: Literal["none", "raise", "resolve"]
    out: list[str]
    persisted: list[str]
    summary: str
    """All of it in a sentence or two."""

    def topic(self, number: int) -> TopicReport | None:
        """The topic of that number."""
        return next((one for one in self.topics if one.number == number), None)
