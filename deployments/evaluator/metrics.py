"""What an answer is scored by, each an `evaluate.Metric` that needs no hub.

- groundedness: share of the answer's checkable sentences that a passage of the prompt supports.
- answer_relevance: cosine of question and answer, not below 0.
- retrieval_precision: share of the prompt's passages that are relevant, which is to say cited by a
  supported sentence, or with a cosine to the question of at least `relevant_from`.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import evaluate

__all__ = ["METRICS", "answer_relevance", "as_metric", "groundedness", "retrieval_precision"]

RELEVANT_FROM: Final = 0.35
"""Cosine of question and passage, under MiniLM, from which a passage counts as on the subject."""


def groundedness(supported: Sequence[bool]) -> float | None:
    """Share of `supported`, one flag per checkable sentence; None where there is none."""
    return sum(supported) / len(supported) if supported else None


def answer_relevance(question: Sequence[float], answer: Sequence[float]) -> float:
    """Cosine of two unit-length vectors, not below 0."""
    return max(0.0, sum(a * b for a, b in zip(question, answer, strict=True)))


def retrieval_precision(
    similarities: Sequence[float], cited: Sequence[bool], relevant_from: float = RELEVANT_FROM
) -> float | None:
    """Share of passages that are cited or similar enough; None without passages."""
    if not similarities:
        return None
    relevant = [
        was_cited or similarity >= relevant_from
        for similarity, was_cited in zip(similarities, cited, strict=True)
    ]
    return sum(relevant) / len(relevant)


METRICS: Final[dict[str, tuple[Callable[..., float | None], tuple[str, ...]]]] = {
    "groundedness": (groundedness, ("supported",)),
    "answer_relevance": (answer_relevance, ("question", "answer")),
    "retrieval_precision": (retrieval_precision, ("similarities", "cited")),
}
"""By name: the function, and the columns that a row has."""


def as_metric(name: str) -> "evaluate.Metric":
    """Return the metric `name` under HF evaluate's interface; its value is the mean over rows.

    Rows whose score does not apply (None) are left out of the mean and counted in `skipped`.
    Raises KeyError for an unknown name.
    """
    import datasets
    import evaluate

    function, columns = METRICS[name]
    kinds = {"supported": "bool", "cited": "bool"}
    features = datasets.Features(
        {
            column: datasets.Sequence(datasets.Value(kinds.get(column, "float64")))
            for column in columns
        }
    )

    class RowMetric(evaluate.Metric):  # type: ignore[misc]
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=function.__doc__ or "",
                citation="",
                inputs_description=", ".join(columns),
                features=features,
            )

        def _compute(self, **rows: list[Any]) -> dict[str, float | int | None]:
            scores = [function(*values) for values in zip(*(rows[c] for c in columns), strict=True)]
            kept = [score for score in scores if score is not None]
            mean = sum(kept) / len(kept) if kept else None
            return {name: mean, "skipped": len(scores) - len(kept)}

    return RowMetric(config_name=name)
