"""What a run found, item by item, and what a grader's scores come to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from deployments.evaluation.suites.kinds import GraderKind

__all__ = ["Figures", "Graded", "ItemResult", "figures_of", "item_result", "sliced"]


@dataclass(frozen=True, slots=True)
class Graded:
    """A grader's word on an answer."""

    value: float | None
    """None where it does not apply."""
    passed: bool | None = None
    """None where the grader neither passes nor fails items."""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One output item of a run."""

    number: int
    """From 1, in the order of the data."""
    item: Mapping[str, Any]
    answer: str
    graded: Mapping[str, Graded]
    error: str | None = None
    """Why there is no answer or no grade."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A grader's scores over a run, or over a slice of it."""

    grader: str
    scored: int
    not_applicable: int
    mean: float | None
    """Of the scores; None where nothing was scored."""
    judged: int
    """Scored items of which the grader says whether they passed."""
    passed: int

    @property
    def pass_rate(self) -> float | None:
        """Share of the judged items that passed; None where none was judged."""
        return self.passed / self.judged if self.judged else None


def item_result(found: Mapping[str, Any], kinds: Sequence[GraderKind]) -> ItemResult:
    """Read one output item of the API.

    A grader that passes or fails items, and does not say so itself, passes one by a score of 1. An
    item that a grader says nothing about is in error.
    """
    judges = {kind.name for kind in kinds if kind.judges}
    graded = {
        str(result["name"]): _graded(result, str(result["name"]) in judges)
        for result in found.get("results") or []
    }
    silent = [kind.name for kind in kinds if kind.name not in graded]
    sample = found.get("sample") or {}
    outputs = sample.get("output") or []
    answer = "".join(str(part.get("content") or "") for part in outputs)
    return ItemResult(
        number=int(found.get("datasource_item_id") or 0) + 1,
        item=found.get("datasource_item") or {},
        answer=answer or str(sample.get("output_text") or ""),
        graded=graded,
        error=_error(found, sample, silent),
    )


def figures_of(results: Sequence[ItemResult], grader: str) -> Figures:
    """Figures of one grader. Items with an error count in none of them."""
    words = [
        result.graded[grader]
        for result in results
        if result.error is None and grader in result.graded
    ]
    values = [word.value for word in words if word.value is not None]
    judged = [word.passed for word in words if word.value is not None and word.passed is not None]
    return Figures(
        grader=grader,
        scored=len(values),
        not_applicable=len(words) - len(values),
        mean=fmean(values) if values else None,
        judged=len(judged),
        passed=sum(judged),
    )


def sliced(results: Sequence[ItemResult], field_name: str) -> dict[str, list[ItemResult]]:
    """The results by the value of a field of their items, in the order of first appearance."""
    slices: dict[str, list[ItemResult]] = {}
    for result in results:
        slices.setdefault(str(result.item.get(field_name)), []).append(result)
    return slices


def _graded(result: Mapping[str, Any], judging: bool) -> Graded:
    score = result.get("score")
    value = None if score is None else float(score)
    passed = result.get("passed") if judging and value is not None else None
    if judging and passed is None and value is not None:
        passed = value >= 1
    return Graded(value, passed, result.get("sample") or {})


def _error(
    found: Mapping[str, Any], sample: Mapping[str, Any], silent: Sequence[str]
) -> str | None:
    error = found.get("error") or sample.get("error") or {}
    if isinstance(error, Mapping) and error.get("message"):
        return str(error["message"])
    if "error" in str(found.get("status", "")):
        return "the item ended in an error without a message"
    return f"there is no score of {', '.join(silent)}" if silent else None
