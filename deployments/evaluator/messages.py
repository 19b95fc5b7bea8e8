"""What crosses the Evaluator's boundary."""

from dataclasses import dataclass
from typing import Any

__all__ = ["GradedAnswer", "MadeReport"]


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """What a grader said of one answer."""

    value: float | None
    passed: bool | None
    detail: dict[str, Any]
    error: dict[str, str] | None = None
    """Code and message where it could not be graded."""


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report, and the page to read it on."""

    report: dict[str, Any]
    page: str
    """HTML."""
