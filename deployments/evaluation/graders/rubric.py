"""`rubric`: an answer by several named criteria, each scored by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Case
from deployments.evaluation.graders.judged import (
    JudgedGrader,
    Render,
    Ruling,
    threshold_within,
)
from deployments.evaluation.judges.choices import scale
from deployments.evaluation.judges.judge import Judge, Question, Sampling
from deployments.evaluation.judges.prompts import JUDGE_PROMPTS
from deployments.evaluation.judges.verdict import Kind, Verdict

__all__ = ["Criterion", "RubricGrader"]

MOST_CRITERIA: Final = 20
_LOW, _HIGH = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Criterion:
    """One thing that an answer is judged by."""

    name: str
    description: str
    weight: float = 1.0
    """Its share of the value, before all are brought to a sum of 1."""


class RubricGrader(JudgedGrader):
    """The weighted mean of the criteria's scores, each from 1 to 5."""

    metric = "rubric"
    kind: ClassVar[Kind] = "rubric"

    def __init__(
        self,
        name: str,
        criteria: Sequence[Criterion],
        judge: Judge,
        render: Render,
        *,
        question: str = "",
        answer: str = "{{sample.output_text}}",
        reference: str = "",
        pass_threshold: float | None = None,
        sampling: Sampling | None = None,
        human_label: str | None = None,
    ) -> None:
        """`question`, `answer` and `reference` are templates. Raises InvalidRequest."""
        super().__init__(name, judge, render, scale(_LOW, _HIGH), human_label)
        self._criteria: Final = _checked(criteria)
        self._threshold: Final = threshold_within(pass_threshold, _LOW, _HIGH)
        self._templates: Final = {"question": question, "answer": answer, "reference": reference}
        self._sampling: Final = sampling or Sampling()

    def _questions(self, case: Case) -> list[Question]:
        prompt = JUDGE_PROMPTS.get("criterion")
        texts = {
            name: self._render(template, case) if template else ""
            for name, template in self._templates.items()
        }
        return [
            Question(
                one.name,
                prompt.version,
                prompt.render(
                    name=one.name,
                    description=one.description,
                    labels=self._choices.labels,
                    **texts,
                ),
                self._choices,
                self._sampling,
            )
            for one in self._criteria
        ]

    def _ruling(self, verdicts: Sequence[Verdict]) -> Ruling:
        total = math.fsum(one.weight for one in self._criteria)
        weighted = (
            one.weight * (verdict.value or 0.0)
            for one, verdict in zip(self._criteria, verdicts, strict=True)
        )
        value = math.fsum(weighted) / total
        passed = None if self._threshold is None else value >= self._threshold
        return Ruling(value, self._choices.nearest(value), passed)

    def _more(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        return {"criteria": {verdict.question: verdict.value for verdict in verdicts}}


def _checked(criteria: Sequence[Criterion]) -> tuple[Criterion, ...]:
    names = [one.name for one in criteria]
    problem = ""
    if not 1 <= len(criteria) <= MOST_CRITERIA:
        problem = f"has {len(criteria)} entries; 1 to {MOST_CRITERIA} are allowed"
    elif len(set(names)) < len(names):
        problem = "names one criterion twice"
    for one in criteria:
        if not (math.isfinite(one.weight) and one.weight > 0):
            problem = f"gives {one.name!r} the weight {one.weight:g}; it must be above 0"
    if problem:
        raise InvalidRequest(f"criteria {problem}.", param="criteria", code="invalid_value")
    return tuple(criteria)
