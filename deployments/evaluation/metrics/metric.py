"""What a metric is: a name, what it needs, and a way to score many answers at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deployments.evaluation.cases import Case, Score
from deployments.evaluation.toolbox import Toolbox

__all__ = ["Metric", "MetricInput", "Scorer", "Summariser"]


@dataclass(frozen=True, slots=True)
class MetricInput:
    """One answer as a metric reads it: the grader has rendered its templates."""

    prediction: str
    reference: Any
    """A text, a list of texts, a number, a JSON schema or a list of document names, as the metric
    says; None where it needs none."""
    case: Case


class Scorer(Protocol):
    """Scores inputs in their order."""

    async def __call__(
        self, inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
    ) -> list[Score]:
        """Return one Score per input; `passed` is left to the grader."""
        ...


Summariser = Callable[[Sequence[Score]], Mapping[str, float]]
"""Figures over all scores that are no mean of them, from the scores' details."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A way to score an answer."""

    name: str
    description: str
    """One sentence, with the source."""
    score: Scorer
    binary: bool = False
    higher_is_better: bool = True
    reference: str = ""
    """What `reference` must be: text, texts, number, schema, pattern, documents; empty: none."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that it takes, with their types: plain ones, or pydantic's with bounds."""
    required: Sequence[str] = ()
    """Options that have no default."""
    best: float = 1.0
    """The value of a perfect answer, where higher is better; sacrebleu's is 100. A value divided by
    it is at most 1, as the openai client's `text_similarity` has it."""
    summarise: Summariser | None = None
