"""OpenAI's graders that ask a model: `score_model` and `label_model`."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Case
from deployments.evaluation.graders.conversation import Conversation
from deployments.evaluation.graders.judged import (
    JudgedGrader,
    Render,
    Ruling,
    threshold_within,
)
from deployments.evaluation.judges.choices import Choices, scale
from deployments.evaluation.judges.judge import Judge, Question, Sampling
from deployments.evaluation.judges.prompts import JUDGE_PROMPTS
from deployments.evaluation.judges.verdict import Kind, Verdict

__all__ = ["LabelModelGrader", "ScoreModelGrader"]


class ScoreModelGrader(JudgedGrader):
    """A score within a range, weighted by how probable the model held each (G-Eval)."""

    metric = "score_model"
    kind: ClassVar[Kind] = "score"

    def __init__(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        judge: Judge,
        render: Render,
        *,
        bounds: tuple[float, float] = (0.0, 1.0),
        pass_threshold: float | None = None,
        sampling: Sampling | None = None,
        human_label: str | None = None,
    ) -> None:
        """Raises InvalidRequest, naming the field.

        `messages` and `bounds` are OpenAI's `input` and `range`. A case passes from
        `pass_threshold` on.
        """
        low, high = bounds
        choices = scale(low, high)
        super().__init__(name, judge, render, choices, human_label)
        prompt = JUDGE_PROMPTS.get("score_scale")
        words = prompt.render(
            labels=choices.labels, low=f"{low:g}", high=f"{high:g}", exact=choices.exact
        )
        self._conversation: Final = Conversation(messages, words[0]["content"], prompt.version)
        self._threshold: Final = threshold_within(pass_threshold, low, high)
        self._sampling: Final = sampling or Sampling()

    def _questions(self, case: Case) -> list[Question]:
        messages = self._conversation.render(self._render, case)
        version = self._conversation.version
        return [Question("score", version, messages, self._choices, self._sampling)]

    def _ruling(self, verdicts: Sequence[Verdict]) -> Ruling:
        value = verdicts[0].value
        assert value is not None  # noqa: S101 - a scale's labels have values
        passed = None if self._threshold is None else value >= self._threshold
        return Ruling(value, self._choices.nearest(value), passed)


class LabelModelGrader(JudgedGrader):
    """A label out of several: 1 where it is one of those that pass, else 0."""

    metric = "label_model"
    kind: ClassVar[Kind] = "label"
    binary = True

    def __init__(
        self,
        name: str,
        messages: Sequence[Mapping[str, Any]],
        judge: Judge,
        render: Render,
        *,
        labels: Sequence[str],
        passing_labels: Sequence[str],
        sampling: Sampling | None = None,
        human_label: str | None = None,
    ) -> None:
        """Raises InvalidRequest, naming the field. `messages` are OpenAI's `input`."""
        choices = Choices(tuple(labels))
        super().__init__(name, judge, render, choices, human_label)
        if unknown := [label for label in passing_labels if label not in labels]:
            raise InvalidRequest(
                f"passing_labels has {unknown[0]!r}, which is none of the labels.",
                param="passing_labels",
                code="invalid_value",
            )
        if not passing_labels:
            raise InvalidRequest(
                "passing_labels is empty; name at least one of the labels.",
                param="passing_labels",
                code="invalid_value",
            )
        prompt = JUDGE_PROMPTS.get("label_choice")
        words = prompt.render(labels=choices.labels)
        self._conversation: Final = Conversation(messages, words[0]["content"], prompt.version)
        self._passing: Final = frozenset(passing_labels)
        self._sampling: Final = sampling or Sampling()

    def _questions(self, case: Case) -> list[Question]:
        messages = self._conversation.render(self._render, case)
        version = self._conversation.version
        return [Question("label", version, messages, self._choices, self._sampling)]

    def _ruling(self, verdicts: Sequence[Verdict]) -> Ruling:
        label = str(verdicts[0].label)
        passed = label in self._passing
        return Ruling(float(passed), label, passed)

    def _more(self, verdicts: Sequence[Verdict]) -> dict[str, Any]:
        return {"label": verdicts[0].label}
