"""What a live answer is scored by, each an `evaluate.Metric` that needs no hub.

The functions are those of the metrics of the same names in `deployments.evaluation.metrics`.

- groundedness: share of the answer's checkable sentences that a passage of the prompt supports.
- answer_relevance: cosine of question and answer, not below 0.
- retrieval_precision: share of the prompt's passages that are relevant, which is to say cited by a
  supported sentence, or with a cosine to the question of at least `relevant_from`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from deployments.evaluation.metrics.relevance import relevance, relevant_share
from deployments.evaluation.metrics.verdicts import share

if TYPE_CHECKING:
    import evaluate

__all__ = ["METRICS", "as_metric"]

METRICS: Final[dict[str, tuple[Callable[..., float | None], tuple[str, ...]]]] = {
    "groundedness": (share, ("supported",)),
    "answer_relevance": (relevance, ("question", "answer")),
    "retrieval_precision": (relevant_share, ("similarities", "cited")),
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
