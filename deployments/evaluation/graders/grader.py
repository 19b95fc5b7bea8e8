"""What every grader is to the run that asks it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from deployments.evaluation.cases import Case, Score

__all__ = ["Grader"]


class Grader(Protocol):
    """Scores cases, many at once. Asking it again about the same cases gives the same scores."""

    @property
    def name(self) -> str:
        """What the eval calls it."""
        ...

    @property
    def metric(self) -> str:
        """What it measures: a metric's name, or the grader's type."""
        ...

    @property
    def binary(self) -> bool:
        """Whether its values are 0 or 1: compared by McNemar's test, others by Wilcoxon's."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Which way is better."""
        ...

    async def grade(self, cases: Sequence[Case]) -> list[Score]:
        """Score `cases`, in their order. Raises EverloopError where none of them can be scored."""
        ...

    def summary(self, scores: Sequence[Score]) -> Mapping[str, float]:
        """Figures over all cases that are no mean of the values, such as corpus BLEU; often {}."""
        ...
