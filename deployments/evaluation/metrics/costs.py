"""What an answer took: time, tokens, money."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import Field

from deployments.evaluation.cases import Sample, Score
from deployments.evaluation.metrics.metric import Metric, MetricInput, Summariser
from deployments.evaluation.metrics.scoring import Judge, NotApplicable, one_by_one

__all__ = ["COST_METRICS"]

_MILLION: Final = 1_000_000
Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _reading(what: str, read: Callable[[Sample], float | None]) -> Callable[..., Judge]:
    def prepare(_options: Mapping[str, Any]) -> Judge:
        return lambda answer: Score(float(_measured(answer, what, read)))

    return prepare


def _measured(
    answer: MetricInput, what: str, read: Callable[[Sample], float | None]
) -> float | int:
    value = read(answer.case.sample) if answer.case.sample else None
    if value is None:
        raise NotApplicable(f"The answer's {what} was not measured.")
    return value


def _cost(options: Mapping[str, Any]) -> Judge:
    prompt_price, completion_price = options["prompt_price"], options["completion_price"]

    def judge(answer: MetricInput) -> Score:
        prompt = _measured(answer, "number of prompt tokens", lambda found: found.prompt_tokens)
        completion = _measured(
            answer, "number of completion tokens", lambda found: found.completion_tokens
        )
        value = (prompt * prompt_price + completion * completion_price) / _MILLION
        return Score(value, detail={"prompt_tokens": prompt, "completion_tokens": completion})

    return judge


def _percentiles(name: str) -> Summariser:
    def summarise(scores: Sequence[Score]) -> dict[str, float]:
        ordered = sorted(score.value for score in scores if score.value is not None)
        if not ordered:
            return {}
        # By nearest rank: each is a time that an answer took.
        return {
            f"{name}_p{percent}": ordered[math.ceil(percent / 100 * len(ordered)) - 1]
            for percent in (50, 95)
        }

    return summarise


def _total(name: str) -> Summariser:
    def summarise(scores: Sequence[Score]) -> dict[str, float]:
        values = [score.value for score in scores if score.value is not None]
        return {f"{name}_total": math.fsum(values)} if values else {}

    return summarise


COST_METRICS: Final = (
    Metric(
        "latency_s",
        "Seconds from the question to the last token; its summary has the median and p95.",
        one_by_one(_reading("time", lambda sample: sample.seconds)),
        higher_is_better=False,
        summarise=_percentiles("latency_s"),
    ),
    Metric(
        "prompt_tokens",
        "Tokens of the prompt, passages included; its summary has the total.",
        one_by_one(_reading("number of prompt tokens", lambda sample: sample.prompt_tokens)),
        higher_is_better=False,
        summarise=_total("prompt_tokens"),
    ),
    Metric(
        "completion_tokens",
        "Tokens of the answer; its summary has the total.",
        one_by_one(
            _reading("number of completion tokens", lambda sample: sample.completion_tokens)
        ),
        higher_is_better=False,
        summarise=_total("completion_tokens"),
    ),
    Metric(
        "cost",
        "Price of the answer, by `prompt_price` and `completion_price` per million tokens; its "
        "summary has the total.",
        one_by_one(_cost),
        higher_is_better=False,
        options={"prompt_price": Price, "completion_price": Price},
        required=("prompt_price", "completion_price"),
        summarise=_total("cost"),
    ),
)
