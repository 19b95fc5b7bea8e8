"""Every metric under HF evaluate's interface, without its hub.

    metric = as_evaluate_metric("rouge_l")
    metric.compute(predictions=["a cat sat"], references=["the cat sat"])
    {'rouge_l': 0.666…, 'skipped': 0}

What `predictions` and `references` are depends on what the metric needs: texts, of which there may
be several references each; for retrieval the names of the ranked and of the relevant documents; for
what an answer took, its measurements.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from deployments.errors import InvalidRequest, Unprocessable
from deployments.evaluation.cases import Case, Passage, Sample, Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.registry import check_options, find_metric
from deployments.evaluation.metrics.rows import ROWS
from deployments.evaluation.toolbox import Toolbox

if TYPE_CHECKING:
    import evaluate

__all__ = ["NO_TOOLS", "Form", "as_evaluate_metric", "evaluate_metric"]

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """What a metric's rows look like, and how one is read."""

    columns: Sequence[Mapping[str, Any]]
    """Each a way to give the rows, columns by name: `string`, `float64` or `int64`, a list of one
    of them, or a dict of several. All have the same columns; the first that fits counts."""
    read: Callable[[int, Row], MetricInput]
    """The input for a row, from its number and its columns."""


class _Absent:
    """Stands where a collaborator was not given, and says so when it is asked for."""

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        del texts
        self._refuse("embedder")

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        del body
        self._refuse("models")

    async def get(self, key: str) -> Mapping[str, Any] | None:
        del key
        self._refuse("cache")

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        del key, value
        self._refuse("cache")

    def _refuse(self, part: str) -> NoReturn:
        raise Unprocessable(
            f"This metric asks for `{part}`: give `tools=replace(NO_TOOLS, {part}=…)`."
        )


_absent = _Absent()
NO_TOOLS: Final = Toolbox(_absent, _absent, _absent)
"""For metrics that ask nobody. `dataclasses.replace` puts in what one needs."""


def as_evaluate_metric(
    name: str, /, tools: Toolbox = NO_TOOLS, **options: Any
) -> "evaluate.Metric":
    """The metric `name` as an `evaluate.Metric`.

    `compute` returns the mean under the metric's name (None where no row has a score), the figures
    of its summary, and under `skipped` how many rows have no score. It takes options too, which go
    before those given here. Raises InvalidRequest for an unknown metric and for wrong options.
    """
    metric = find_metric(name)
    form = _FORMS.get(name) or _REFERENCES.get(metric.reference)
    if form is None:
        raise InvalidRequest(f"metric: {name!r} has no rows of its own to compute from.")
    return evaluate_metric(metric, form, tools, options)


def evaluate_metric(
    metric: Metric, form: Form, tools: Toolbox, options: Mapping[str, Any]
) -> "evaluate.Metric":
    """`metric` over rows of `form` as an `evaluate.Metric`; see `as_evaluate_metric`."""
    import datasets
    import evaluate

    if options:
        check_options(metric, options)
    features = [
        datasets.Features({column: _feature(kind) for column, kind in columns.items()})
        for columns in form.columns
    ]

    class AnswerMetric(evaluate.Metric):  # type: ignore[misc]
        def _info(self) -> Any:
            return evaluate.MetricInfo(
                description=metric.description,
                citation="",
                inputs_description="Options: " + (", ".join(metric.options) or "none"),
                features=features[0] if len(features) == 1 else features,
            )

        def _compute(self, **given: Any) -> dict[str, float | int | None]:
            columns = {column: given.pop(column) for column in form.columns[0]}
            checked = check_options(metric, {**options, **given})
            rows = [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            inputs = [form.read(number, row) for number, row in enumerate(rows, 1)]
            # Its own thread: a notebook's has an event loop that runs already.
            with ThreadPoolExecutor(1) as thread:
                scores = thread.submit(_scores, metric, inputs, checked, tools).result()
            return _figures(metric, scores)

    named = type(metric.name, (AnswerMetric,), {})
    return named(config_name=metric.name, keep_in_memory=True)


def _scores(
    metric: Metric, inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    async def score() -> list[Score]:
        return await metric.score(inputs, options, tools)

    return asyncio.run(score())


def _figures(metric: Metric, scores: Sequence[Score]) -> dict[str, float | int | None]:
    values = [score.value for score in scores if score.value is not None]
    return {
        metric.name: sum(values) / len(values) if values else None,
        **(metric.summarise(scores) if metric.summarise else {}),
        "skipped": len(scores) - len(values),
    }


def _feature(kind: Any) -> Any:
    import datasets

    if isinstance(kind, Mapping):
        return {name: _feature(part) for name, part in kind.items()}
    if isinstance(kind, list):
        return datasets.Sequence(_feature(kind[0]))
    return datasets.Value(kind)


def _text_row(number: int, row: Row) -> MetricInput:
    return _input(number, Sample(row["predictions"]), row["references"])


def _ranking_row(number: int, row: Row) -> MetricInput:
    passages = [Passage("", document=name) for name in row["predictions"]]
    return _input(number, Sample("", passages=passages), row["references"])


def _sample_row(field: str) -> Callable[[int, Row], MetricInput]:
    return lambda number, row: _input(number, Sample("", **{field: row["predictions"]}), None)


def _tokens_row(number: int, row: Row) -> MetricInput:
    return _input(number, Sample("", **row["predictions"]), None)


def _input(number: int, sample: Sample, reference: Any) -> MetricInput:
    return MetricInput(sample.output_text, reference, Case(number, {}, sample))


def _texts(*references: Any) -> Form:
    return Form([{"predictions": "string", "references": kind} for kind in references], _text_row)


_REFERENCES: Final = {
    "text": _texts("string"),
    "texts": _texts("string", ["string"]),
    "number": _texts("string", "float64"),
    "schema": _texts("string"),
    "pattern": _texts("string"),
    "documents": Form(
        [
            # One string: an object of names and gains as JSON, or a single name.
            {"predictions": ["string"], "references": "string"},
            {"predictions": ["string"], "references": ["string"]},
        ],
        _ranking_row,
    ),
}
"""Forms by what a metric's reference must be."""

_FORMS: Final = {
    "perplexity": Form([{"predictions": ["float64"]}], _sample_row("log_probabilities")),
    "latency_s": Form([{"predictions": "float64"}], _sample_row("seconds")),
    "prompt_tokens": Form([{"predictions": "int64"}], _sample_row("prompt_tokens")),
    "completion_tokens": Form([{"predictions": "int64"}], _sample_row("completion_tokens")),
    "cost": Form(
        [{"predictions": {"prompt_tokens": "int64", "completion_tokens": "int64"}}], _tokens_row
    ),
} | {name: Form(columns, read) for name, (columns, read) in ROWS.items()}
"""Forms of metrics with columns of their own, by name."""
