"""A run's items with what its graders said of them: what comparisons and reports are made of."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.evaluation.cases import Sample

__all__ = ["ScoredGrader", "ScoredItem", "ScoredRun", "digest", "field_text", "is_synthetic"]


@dataclass(frozen=True, slots=True)
class ScoredGrader:
    """What a report says of a grader."""

    name: str
    metric: str = ""
    """What it measures; empty is its name."""
    binary: bool = False
    """Whether its values are 0 or 1."""
    higher_is_better: bool = True
    resolution: float = 1e-9
    """Smaller differences are none."""
    summary: Mapping[str, float] = field(default_factory=dict)
    """`Grader.summary`: figures that are no mean, such as corpus BLEU."""
    judge: Mapping[str, Any] = field(default_factory=dict)
    """What a judge's own report says of it, JSON; empty where no judge takes part."""


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """An item, the answer to it, and its scores."""

    number: int
    """From 1, in the order of the data."""
    item: Mapping[str, Any]
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """By grader; None, no entry or no finite number: it has no score."""
    passed: Mapping[str, bool | None] = field(default_factory=dict)
    """By grader, against its threshold; None where none is set."""
    sample: Sample | None = None
    error: str = ""
    """Why it has no answer or no scores; empty where it has."""

    def score(self, grader: str) -> float | None:
        """Its score, if that is a finite number."""
        value = self.scores.get(grader)
        return value if value is not None and math.isfinite(value) else None

    @property
    def answer(self) -> str:
        """The text of the answer; empty where there is none."""
        return self.sample.output_text if self.sample else ""


@dataclass(frozen=True, slots=True)
class ScoredRun:
    """One run of an eval."""

    name: str
    """What a person calls it."""
    graders: Sequence[ScoredGrader]
    items: Sequence[ScoredItem]


def field_text(item: Mapping[str, Any], path: str) -> str | None:
    """The field at `path` (`topic`, `metadata.topic`) as text; None where there is none."""
    found: Any = item
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    if found is None:
        return None
    return found if isinstance(found, str) else _json(found)


def is_synthetic(item: Mapping[str, Any]) -> bool:
    """Whether a model made the item up: its field `synthetic`, or that of its `metadata`."""
    metadata = item.get("metadata")
    places = (item, metadata if isinstance(metadata, Mapping) else {})
    return any(
        bool(place.get("synthetic")) and str(place["synthetic"]).lower() not in {"false", "no", "0"}
        for place in places
    )


def digest(item: Mapping[str, Any]) -> str:
    """The same for the same item, whatever the order of its fields."""
    return hashlib.sha256(_json(item).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
