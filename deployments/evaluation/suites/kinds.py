"""What kind of grader a testing criterion is, as far as decisions need to know."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deployments.evaluation.metrics.registry import METRICS

__all__ = ["GraderKind", "kind_of"]

_DEFAULT_THRESHOLDS: Final = {"pairwise": 0.5}
_PASS_OR_FAIL: Final = frozenset({"string_check", "label_model"})


@dataclass(frozen=True, slots=True)
class GraderKind:
    """How a grader's scores are read."""

    name: str
    judges: bool
    """Whether it passes or fails each item: by nature, by a `pass_threshold`, or because its
    metric is 0 or 1."""


def kind_of(spec: Mapping[str, Any]) -> GraderKind:
    """Read a testing criterion. A metric that is not known here is read as plain numbers."""
    name, kind = str(spec["name"]), spec["type"]
    if kind in _PASS_OR_FAIL:
        return GraderKind(name, judges=True)
    has_threshold = spec.get("pass_threshold", _DEFAULT_THRESHOLDS.get(kind)) is not None
    metric = METRICS.get(str(spec.get("metric"))) if kind == "metric" else None
    return GraderKind(name, judges=has_threshold or (metric is not None and metric.binary))
