"""`pairwise`: an answer against another text of its item, asked in both orders."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from deployments.evaluation.cases import Case
from deployments.evaluation.graders.judged import (
    JudgedGrader,
    Render,
    Ruling,
    threshold_within,
)
from deployments.evaluation.judges.judge import Judge, Question, Sampling
from deployments.evaluation.judges.pairwise import OUTCOMES, both_orders, flipped, outcome_of
from deployments.evaluation.judges.verdict import Kind, Verdict

__all__ = ["PairwiseGrader"]

_WORTH: Final = {"A": 1.0, "tie": 0.5, "B": 0.0}


class PairwiseGrader(JudgedGrader):
    """1 where the answer is better than the other text, 0 where it is worse, 0.5 for a tie.

    It is a tie where the judge says so, and where its two orders disagree. A person's label is A
    (the answer is better), B (the other text is) or tie.
    """

    metric = "pairwise"
    kind: ClassVar[Kind] = "pairwise"

    def __init__(
        self,
        name: str,
        other: str,
        judge: Judge,
        render: Render,
        *,
        question: str = "",
        answer: str = "{{sample.output_text}}",
        criterion: str = "",
        pass_threshold: float | None = 1.0,
        sampling: Sampling | None = None,
        human_label: str | None = None,
    ) -> None:
        """Raises InvalidRequest, naming the field.

        `other`, `question` and `answer` are templates. `criterion` stands instead of «Which answer
        is better?». A case passes from `pass_threshold` on: 0.5 lets ties pass.
        """
        super().__init__(name, judge, render, OUTCOMES, human_label)
        self._other: Final = other
        self._question: Final = question
        self._answer: Final = answer
        self._criterion: Final = criterion
        self._threshold: Final = threshold_within(pass_threshold, 0.0, 1.0)
        self._sampling: Final = sampling or Sampling()

    def _questions(self, case: Case) -> list[Question]:
        return list(
            both_orders(
                self._render(self._answer, case),
                self._render(self._other, case),
                question=self._render(self._question, case) if self._question else "",
                criterion=self._criterion,
                sampling=self._sampling,
            )
        )

    def _ruling(self, verdicts: Sequence[Verdict]) -> Ruling:
        outcome = outcome_of(*verdicts)
        assert outcome is not None  # noqa: S101 - neither verdict is missing
        value = _WORTH[outcome]
        passed = None if self._threshold is None else value >= self._threshold
        return Ruling(value, outcome, passed)

    def _more(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        return {"outcome": outcome_of(*verdicts), "flipped": flipped(*verdicts)}
