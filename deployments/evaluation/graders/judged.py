"""What all graders that ask a judge have in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Case, Score
from deployments.evaluation.judges.choices import Choices
from deployments.evaluation.judges.judge import Judge, Question
from deployments.evaluation.judges.report import JudgeReport, judge_report
from deployments.evaluation.judges.verdict import Judgement, Kind, Verdict

__all__ = ["JudgedGrader", "Render", "Ruling", "threshold_within"]

Render = Callable[[str, Case], str]
"""Fills a template such as `{{sample.output_text}}` from a case."""


class Ruling(NamedTuple):
    """What a case's verdicts come to."""

    value: float
    outcome: str
    """The category."""
    passed: bool | None


class JudgedGrader(ABC):
    """A grader whose scores are made of a judge's verdicts; see `Grader`.

    A case with a verdict missing has no value: what a judge did not say never becomes a number.
    """

    metric: str
    kind: ClassVar[Kind]
    binary: bool = False
    higher_is_better: bool = True

    def __init__(
        self,
        name: str,
        judge: Judge,
        render: Render,
        choices: Choices,
        human_label: str | None,
    ) -> None:
        """`human_label` names the item's field with a person's label, where items have one."""
        self.name = name
        self._judge: Final = judge
        self._render: Final = render
        self._choices: Final = choices
        self._human_label: Final = human_label

    async def grade(self, cases: Sequence[Case]) -> list[Score]:
        """Score `cases`, in their order. Raises ApiError and UnreachableError."""
        asked = [self._questions(case) for case in cases]
        verdicts = iter(await self._judge.ask_all([one for few in asked for one in few]))
        found = [tuple(next(verdicts) for _ in few) for few in asked]
        return [self._score(case, said) for case, said in zip(cases, found, strict=True)]

    def summary(self, scores: Sequence[Score]) -> Mapping[str, float]:
        """The judge's own figures: parse failures, flip rate, agreement with people."""
        return self.report(scores).figures()

    def report(self, scores: Sequence[Score]) -> JudgeReport:
        """What the scores' details say about the judge."""
        return judge_report(scores)

    @abstractmethod
    def _questions(self, case: Case) -> list[Question]:
        """What the judge is asked about a case."""

    @abstractmethod
    def _ruling(self, verdicts: Sequence[Verdict]) -> Ruling:
        """What the verdicts, none of which is missing, come to."""

    def _more(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        """What the detail says beside the judgement."""
        return {}

    def _score(self, case: Case, verdicts: tuple[Verdict, ...]) -> Score:
        ruling = None
        if all(verdict.label is not None for verdict in verdicts):
            ruling = self._ruling(verdicts)
        human, problem = self._person(case)
        judgement = Judgement(
            kind=self.kind,
            categories=self._choices.labels,
            ordinal=self._choices.ordinal,
            outcome=ruling and ruling.outcome,
            human=human,
            human_problem=problem,
            verdicts=verdicts,
        )
        if ruling is None:
            reason = "The judge gave no verdict. " + " ".join(judgement.reasons())
            return Score(None, detail=judgement.detail(reason=reason))
        return Score(ruling.value, ruling.passed, judgement.detail(**self._more(verdicts)))

    def _person(self, case: Case) -> tuple[str | None, str | None]:
        """The category that a person gave, or what is wrong with it."""
        told = case.item.get(self._human_label) if self._human_label is not None else None
        text = "" if told is None else str(told).strip()
        if not text:
            return None, None
        choices = self._choices
        if choices.ordinal:
            number = _number(text)
            if number is not None and choices.values[0] <= number <= choices.values[-1]:
                return choices.nearest(number), None
            allowed = f"a number from {choices.values[0]:g} to {choices.values[-1]:g}"
        elif text in choices.labels:
            return text, None
        else:
            allowed = f"one of {', '.join(choices.labels)}"
        return None, f"item.{self._human_label} is {text[:64]!r}; it must be {allowed}."


def threshold_within(threshold: float | None, low: float, high: float) -> float | None:
    """`threshold` as it is. Raises InvalidRequest where it is not from `low` to `high`."""
    if threshold is not None and not low <= threshold <= high:
        raise InvalidRequest(
            f"pass_threshold is {threshold:g}; it must be from {low:g} to {high:g}.",
            param="pass_threshold",
            code="invalid_value",
        )
    return threshold


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
