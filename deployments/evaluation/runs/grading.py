"""From answered items to results: every grader over the batch, and what each item came to."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cluster.errors import EverloopError
from deployments.errors import RequestError
from deployments.evaluation.cases import Case, Score
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.runs.samples import cleaned

__all__ = ["Failure", "Graded", "failure_of", "grade_cases", "score_json"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no score, or no answer."""

    code: str
    message: str

    def json(self) -> dict[str, str]:
        """As the records keep it."""
        return {"code": self.code, "message": str(cleaned(self.message))}


@dataclass(frozen=True, slots=True)
class Graded:
    """What the graders said of one case."""

    scores: Mapping[str, Score]
    """By grader; one that failed has none."""
    failure: Failure | None = None
    """Of the first grader that failed."""

    @property
    def outcome(self) -> str:
        """error, fail or pass: a score that does not apply, or has no threshold, fails nothing."""
        if self.failure is not None:
            return "error"
        return "fail" if any(score.passed is False for score in self.scores.values()) else "pass"


async def grade_cases(cases: Sequence[Case], graders: Sequence[Grader]) -> list[Graded]:
    """Grade `cases`. A case that a grader cannot score costs the others nothing."""
    scores: list[dict[str, Score]] = [{} for _ in cases]
    failures: list[Failure | None] = [None for _ in cases]
    for grader in graders:
        for index, told in enumerate(await _asked(grader, cases)):
            if isinstance(told, Score):
                scores[index][grader.name] = told
            elif failures[index] is None:
                failures[index] = Failure(told.code, f"{grader.name}: {told.message}")
    return [Graded(one, failure) for one, failure in zip(scores, failures, strict=True)]


async def _asked(grader: Grader, cases: Sequence[Case]) -> list[Score | Failure]:
    try:
        scores = await grader.grade(cases)
    except Exception as error:  # noqa: BLE001 - the edge to graders: a bad item must not end the run
        if len(cases) == 1:
            return [failure_of(error)]
        return [told for case in cases for told in await _asked(grader, [case])]
    return list(scores)


def failure_of(error: Exception) -> Failure:
    """The failure that an error means."""
    if isinstance(error, RequestError):
        return Failure(error.code or error.type, error.message)
    if isinstance(error, EverloopError):
        return Failure(_code(error), str(error))
    _log.error("A grader failed", exc_info=error)
    return Failure("internal_error", f"{type(error).__name__}: {error}")


def _code(error: EverloopError) -> str:
    name = type(error).__name__.removesuffix("Error")
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_") + "_error"


def score_json(score: Score) -> dict[str, Any]:
    """As the records keep it."""
    kept: dict[str, Any] = cleaned(
        {"value": score.value, "passed": score.passed, "detail": dict(score.detail)}
    )
    return kept
