"""What rows of metrics of grounding and safety look like under HF evaluate's interface.

For `hf.py`: by metric's name the columns, and how a row is read. Metrics that are not here have
`predictions` and `references`, as their `reference` says.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deployments.evaluation.cases import Case, Passage, Sample
from deployments.evaluation.metrics.metric import MetricInput

__all__ = ["ROWS", "read_row"]

_ANSWER: Final[dict[str, Any]] = {"predictions": "string"}
_QUESTION: Final[dict[str, Any]] = {"questions": "string"}
_PASSAGES: Final[dict[str, Any]] = {"passages": ["string"]}
_CITED: Final[dict[str, Any]] = {"cited": ["bool"]}
"""One flag per passage."""


def read_row(number: int, row: Mapping[str, Any]) -> MetricInput:
    """Return the input for a row, from its number and its columns."""
    texts = row.get("passages", ())
    cited = row.get("cited") or [False] * len(texts)
    passages = [Passage(text, cited=flag) for text, flag in zip(texts, cited, strict=True)]
    sample = Sample(row.get("predictions", ""), passages=passages)
    item = {"question": row["questions"]} if "questions" in row else {}
    return MetricInput(sample.output_text, row.get("references"), Case(number, item, sample))


_COLUMNS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
    "faithfulness": [_ANSWER | _PASSAGES],
    "groundedness": [_ANSWER | _PASSAGES],
    "citation_precision": [_ANSWER | _PASSAGES | _CITED],
    "citation_recall": [_ANSWER | _PASSAGES | _CITED],
    "answer_relevance": [_ANSWER | _QUESTION],
    "context_relevance": [_QUESTION | _PASSAGES],
    "retrieval_precision": [_ANSWER | _QUESTION | _PASSAGES],
    "context_recall": [
        _PASSAGES | {"references": "string"},
        _PASSAGES | {"references": ["string"]},
    ],
    "toxicity": [_ANSWER],
    "pii_rate": [_ANSWER],
    "refusal": [_ANSWER],
}

ROWS: Final = {name: (columns, read_row) for name, columns in _COLUMNS.items()}
"""Columns as `hf.Form` takes them, the first that fit count; and the reader."""
