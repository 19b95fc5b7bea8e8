"""The scores that one grader gave to both sides of the pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.errors import EverloopError
from deployments.evaluation.comparison.pairing import Pair
from deployments.evaluation.comparison.report import Missing
from deployments.evaluation.comparison.scored import ScoredGrader
from training.gate.comparison import differences_of

__all__ = ["ComparisonError", "ScoredPairs", "score_pairs"]


class ComparisonError(EverloopError):
    """Two runs have nothing that can be compared."""


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """The pairs with a score from both runs; the others by their numbers."""

    grader: ScoredGrader
    pairs: Sequence[Pair]
    baseline: Sequence[float]
    candidate: Sequence[float]
    missing: Missing

    @property
    def lost(self) -> int:
        """Pairs with a score from one run only."""
        return len(self.missing.baseline) + len(self.missing.candidate)

    def judged(self, max_missing: float) -> bool:
        """Whether few enough scores are missing to conclude anything from the others."""
        return self.lost <= max_missing * (self.lost + len(self.pairs))

    @property
    def gains(self) -> list[float]:
        """Differences, positive where the candidate does better."""
        differences = differences_of(self.candidate, self.baseline, self.grader.resolution)
        return differences if self.grader.higher_is_better else [0.0 - d for d in differences]


def score_pairs(grader: ScoredGrader, pairs: Sequence[Pair]) -> ScoredPairs:
    """Split the pairs by which runs have a score. Raises ComparisonError for a wrong binary one."""
    kept: list[Pair] = []
    theirs: list[float] = []
    ours: list[float] = []
    no_baseline: list[int] = []
    no_candidate: list[int] = []
    neither = 0
    for pair in pairs:
        before, after = pair.baseline.score(grader.name), pair.candidate.score(grader.name)
        if before is not None and after is not None:
            _check(grader, pair.baseline.number, before, after)
            kept.append(pair)
            theirs.append(before)
            ours.append(after)
        elif before is None and after is None:
            neither += 1
        else:
            (no_baseline if before is None else no_candidate).append(pair.baseline.number)
    missing = Missing(baseline=tuple(no_baseline), candidate=tuple(no_candidate), both=neither)
    return ScoredPairs(grader, kept, theirs, ours, missing)


def _check(grader: ScoredGrader, number: int, *values: float) -> None:
    for value in values:
        if grader.binary and value not in (0.0, 1.0):
            raise ComparisonError(
                f"Grader «{grader.name}» is binary, but scores item {number} with {value:g}.",
                fix="Binary graders score 0 or 1.",
            )
