"""What a judge said, and what was made of it: the records that a score's detail keeps."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from pydantic import ValidationError

from cluster.sections.section import Section
from deployments.evaluation.cases import Score

__all__ = ["DETAIL", "Judgement", "Kind", "Verdict", "judgements"]

Kind = Literal["score", "label", "rubric", "pairwise"]
DETAIL: Final = "judgement"
"""Key of a score's detail under which the Judgement stands."""


class Verdict(Section):
    """One question's answer."""

    question: str
    """Which of the judgement's questions: a criterion's name, or the order of the answers."""
    prompt: str
    """Version of what the judge was told."""
    model: str
    """What answered, as it named itself: no alias."""
    label: str | None = None
    """What it said; None where nothing that it said was allowed."""
    value: float | None = None
    """The label's worth: the mean of all labels' by their probabilities, where those are told."""
    spread: float | None = None
    """Standard deviation of the value by the labels' probabilities, where those are told."""
    probabilities: Mapping[str, float] | None = None
    """Of each label; None where the model did not tell them or the labels begin alike."""
    cached: bool = False
    """Whether it was said before, to the same words."""
    calls: int = 0
    """Answers that the model gave now."""
    failures: int = 0
    """Answers that were no verdict, before this one or instead of it."""
    without: tuple[str, ...] = ()
    """What the model refused to be asked with: `logprobs`, `seed`, `temperature`."""
    reason: str | None = None
    """Why there is no label."""


class Judgement(Section):
    """What all verdicts on one case came to."""

    kind: Kind
    categories: tuple[str, ...]
    """What an outcome may be, in order where `ordinal`."""
    ordinal: bool
    outcome: str | None = None
    """The category; None where a verdict is missing. A score's is the one nearest to it."""
    human: str | None = None
    """The category that a person gave; None where the item carries none."""
    human_problem: str | None = None
    """A person's label that is none of the categories."""
    verdicts: tuple[Verdict, ...]

    def detail(self, **more: Any) -> dict[str, Any]:
        """The detail of a score: this, and `more`."""
        return {DETAIL: self.model_dump(mode="json"), **more}

    def reasons(self) -> list[str]:
        """Why verdicts are missing."""
        return [verdict.reason for verdict in self.verdicts if verdict.reason]


def judgements(scores: Sequence[Score]) -> list[Judgement]:
    """Those that the scores' details keep. Raises ValueError for a detail that is none."""
    found = []
    for score in scores:
        if (kept := score.detail.get(DETAIL)) is not None:
            try:
                found.append(Judgement.model_validate(kept))
            except ValidationError as error:
                raise ValueError(f"a score's detail is no judgement: {error}") from error
    return found
