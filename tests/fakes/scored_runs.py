"""Scored runs from plain columns of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from deployments.evaluation.cases import Sample
from deployments.evaluation.comparison import ScoredGrader, ScoredItem, ScoredRun

__all__ = ["binary_columns", "scored_run"]


def scored_run(
    name: str,
    scores: Mapping[str, Sequence[float | None]],
    *,
    graders: Sequence[ScoredGrader] | None = None,
    items: Sequence[Mapping[str, Any]] | None = None,
    answers: Sequence[str] | None = None,
) -> ScoredRun:
    """A run whose grader NAME gave its n-th item `scores[NAME][n]`."""
    count = len(next(iter(scores.values())))
    asked = items or [{"question": f"question {n}"} for n in range(count)]
    told = graders if graders is not None else [ScoredGrader(grader) for grader in scores]
    return ScoredRun(
        name,
        told,
        [
            ScoredItem(
                number=n + 1,
                item=asked[n],
                scores={grader: values[n] for grader, values in scores.items()},
                sample=Sample(output_text=answers[n]) if answers else None,
            )
            for n in range(count)
        ],
    )


def binary_columns(wins: int, losses: int, level: int) -> tuple[list[float], list[float]]:
    """Baseline and candidate that differ on `wins + losses` items."""
    baseline = [0.0] * wins + [1.0] * losses + [1.0] * level
    candidate = [1.0] * wins + [0.0] * losses + [1.0] * level
    return baseline, candidate
