"""Graders that ask no model: a comparison of texts, any metric, and a formula over others."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from deployments.evaluation.cases import Case, Score
from deployments.evaluation.graders.formula import Formula, FormulaError
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.graders.templates import Template, filled
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.toolbox import Toolbox

__all__ = ["MetricGrader", "MultiGrader", "StringCheckGrader", "met"]

Operation = Literal["eq", "ne", "like", "ilike"]
_OPERATIONS: Final[Mapping[Operation, Callable[[str, str], bool]]] = {
    "eq": lambda text, reference: text == reference,
    "ne": lambda text, reference: text != reference,
    "like": lambda text, reference: reference in text,
    "ilike": lambda text, reference: reference.casefold() in text.casefold(),
}


def met(value: float | None, threshold: float | None, *, higher_is_better: bool) -> bool | None:
    """Whether a value passes; None where there is no value or no threshold."""
    if value is None or threshold is None:
        return None
    return value >= threshold if higher_is_better else value <= threshold


class StringCheckGrader:
    """Whether a text is, is not or holds another: 1 or 0."""

    metric = "string_check"
    binary = True
    higher_is_better = True

    def __init__(
        self, name: str, text: Template, reference: Template, operation: Operation
    ) -> None:
        self.name = name
        self._text = text
        self._reference = reference
        self._operation = operation

    async def grade(self, cases: Sequence[Case]) -> list[Score]:
        """Compare. Raises TemplateError."""
        return [self._grade(case) for case in cases]

    def summary(self, scores: Sequence[Score]) -> Mapping[str, float]:
        """Nothing that is no mean."""
        return {}

    def _grade(self, case: Case) -> Score:
        passed = _OPERATIONS[self._operation](self._text.render(case), self._reference.render(case))
        return Score(float(passed), passed)


class MetricGrader:
    """A metric of the registry over what templates make of a case."""

    def __init__(
        self,
        name: str,
        metric: Metric,
        text: Template,
        reference: Any,
        options: Mapping[str, Any],
        pass_threshold: float | None,
        tools: Toolbox,
    ) -> None:
        self.name = name
        self._metric = metric
        self._text = text
        self._reference = reference
        self._options = options
        self._threshold = pass_threshold
        self._tools = tools

    @property
    def metric(self) -> str:
        """The metric's name."""
        return self._metric.name

    @property
    def binary(self) -> bool:
        """As the metric is."""
        return self._metric.binary

    @property
    def higher_is_better(self) -> bool:
        """As of the metric."""
        return self._metric.higher_is_better

    async def grade(self, cases: Sequence[Case]) -> list[Score]:
        """Score `cases`. Raises TemplateError, and what the metric raises.

        A binary metric has passed where its value is 1, whether or not a threshold is set.
        """
        inputs = [
            MetricInput(self._text.render(case), filled(self._reference, case), case)
            for case in cases
        ]
        scores = await self._metric.score(inputs, self._options, self._tools)
        threshold = self._threshold
        if threshold is None and self.binary:
            threshold = 1.0 if self.higher_is_better else 0.0
        better = self.higher_is_better
        return [
            replace(score, passed=met(score.value, threshold, higher_is_better=better))
            for score in scores
        ]

    def summary(self, scores: Sequence[Score]) -> Mapping[str, float]:
        """The metric's own figures over all cases."""
        return {} if self._metric.summarise is None else self._metric.summarise(scores)


class MultiGrader:
    """A formula over the values of other graders. Its value is None where one of theirs is."""

    metric = "multi"
    binary = False
    higher_is_better = True

    def __init__(
        self,
        name: str,
        graders: Mapping[str, Grader],
        formula: Formula,
        pass_threshold: float | None,
    ) -> None:
        self.name = name
        self._graders = graders
        self._formula = formula
        self._threshold = pass_threshold

    async def grade(self, cases: Sequence[Case]) -> list[Score]:
        """Score `cases` by each grader, then by the formula."""
        by_grader = {name: await one.grade(cases) for name, one in self._graders.items()}
        return [
            self._combined({name: scores[index] for name, scores in by_grader.items()})
            for index in range(len(cases))
        ]

    def summary(self, scores: Sequence[Score]) -> Mapping[str, float]:
        """Nothing that is no mean."""
        return {}

    def _combined(self, parts: Mapping[str, Score]) -> Score:
        values = {name: score.value for name, score in parts.items()}
        detail: dict[str, Any] = {"values": values}
        known = {name: value for name, value in values.items() if value is not None}
        if missing := sorted(self._formula.names - known.keys()):
            return Score(None, None, {**detail, "reason": f"{missing[0]} has no value here"})
        try:
            value = self._formula.value(known)
        except FormulaError as error:
            return Score(None, None, {**detail, "reason": str(error)})
        return Score(value, met(value, self._threshold, higher_is_better=True), detail)
