"""One item of an evaluation with the answer to it, and the score that a grader gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Case", "Passage", "Sample", "Score"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that the answer could draw on, in the order it was ranked."""

    text: str
    document: str = ""
    """Name of its document, which the items of a retrieval set name as relevant."""
    cited: bool = False
    """Whether the answer cites it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer. Templates reach these fields as `sample.NAME`."""

    output_text: str
    model: str | None = None
    """What answered: a model's or an adapter's id."""
    output_json: Any = None
    """The text read as JSON, where the answer was asked for in a schema."""
    output_tools: Sequence[Mapping[str, Any]] = ()
    passages: Sequence[Passage] = ()
    refused: bool = False
    """The platform's own «I don't know»: nothing supported an answer."""
    seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    log_probabilities: Sequence[float] = ()
    """Natural logarithms of the answer's tokens, where they were asked for."""
    trace_id: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """An item and the answer to it; None where the item carries its answer itself."""

    number: int
    """From 1, in the order of the data."""
    item: Mapping[str, Any]
    sample: Sample | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """What a grader says of a case."""

    value: float | None
    """None where it does not apply; the detail's `reason` says why."""
    passed: bool | None = None
    """Against the grader's threshold; None where the value is None or no threshold is set."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """JSON: what the value was made of."""
