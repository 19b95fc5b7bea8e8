"""What a suite's run came to, as one object and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deployments.evaluation.suites.results import Figures, ItemResult, figures_of, sliced
from deployments.evaluation.suites.verdict import Verdict

__all__ = ["Outcome", "failing_items"]

_ANSWER_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """A suite that ran to its end."""

    suite: str
    file: str
    eval_id: str
    run_ids: tuple[str, ...]
    model: str | None
    """What answered; None where the answers were given."""
    seed: int
    items: int
    synthetic: int
    """Items that a program wrote."""
    results: tuple[ItemResult, ...]
    """Of all runs."""
    graders: tuple[str, ...]
    slices: tuple[str, ...]
    verdict: Verdict
    seconds: float
    baseline: str | None = None
    reports: tuple[Mapping[str, Any], ...] = ()
    """The service's own report of each run."""
    comparison: Mapping[str, Any] | None = None
    """The service's comparison with the baseline."""

    @property
    def figures(self) -> list[Figures]:
        """Per grader, over all runs."""
        return [figures_of(self.results, name) for name in self.graders]

    @property
    def errors(self) -> list[ItemResult]:
        """Items without an answer or a grade."""
        return [result for result in self.results if result.error is not None]

    @property
    def origin(self) -> str:
        """Says that items are synthetic; empty where none is."""
        return f"{self.synthetic} of {self.items} items are synthetic" if self.synthetic else ""

    @property
    def document(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "object": "suite.report",
            "suite": self.suite,
            "file": self.file,
            "passed": self.verdict.passed,
            "checks": [asdict(check) for check in self.verdict.checks],
            "graders": [_figures(found) for found in self.figures],
            "slices": {
                name: {
                    value: [_figures(figures_of(part, grader)) for grader in self.graders]
                    for value, part in sliced(self.results, name).items()
                }
                for name in self.slices
            },
            "items": self.items,
            "synthetic_items": self.synthetic,
            "errors": [{"item": r.number, "message": r.error} for r in self.errors],
            "eval_id": self.eval_id,
            "run_ids": list(self.run_ids),
            "baseline": self.baseline,
            "model": self.model,
            "seed": self.seed,
            "seconds": round(self.seconds, 2),
            "run_reports": [dict(report) for report in self.reports],
            "comparison": None if self.comparison is None else dict(self.comparison),
        }


def failing_items(results: Sequence[ItemResult], grader: str, most: int) -> tuple[list[str], int]:
    """Lines about the items that a grader fails, at most so many, and how many others there are.

    Of a grader that fails none by itself, its lowest scores.
    """
    graded = [(r, r.graded[grader]) for r in results if r.error is None and grader in r.graded]
    failed = [(r, word) for r, word in graded if word.passed is False]
    if not failed and not any(word.passed for _, word in graded):
        scored = [(r, word) for r, word in graded if word.value is not None]
        failed = sorted(scored, key=lambda pair: pair[1].value or 0.0)
    lines = [
        f"item {result.number}: {word.value:.4g}; {_first_text(result.item)!r} was answered "
        f"{_cut(result.answer)!r}"
        for result, word in failed[:most]
    ]
    return lines, max(0, len(failed) - most)


def _figures(found: Figures) -> dict[str, Any]:
    return {**asdict(found), "pass_rate": found.pass_rate}


def _first_text(item: Mapping[str, Any]) -> str:
    named = item.get("question") or item.get("prompt") or item.get("input")
    text = named or next((v for v in item.values() if isinstance(v, str)), "")
    return _cut(str(text))


def _cut(text: str) -> str:
    whole = " ".join(text.split())
    return whole if len(whole) <= _ANSWER_CHARACTERS else f"{whole[:_ANSWER_CHARACTERS]}…"
