"""Seconds, tokens and money."""

import numpy as np
import pytest

from deployments.evaluation.cases import Case, Sample
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.metrics.registry import find_metric
from tests.fixtures.answers import score

NAMES = ("latency_s", "prompt_tokens", "completion_tokens")
SECONDS = np.random.default_rng(4).exponential(1.0, 101).tolist()


def took(seconds: float | None, prompt: int | None, completion: int | None) -> MetricInput:
    sample = Sample("", seconds=seconds, prompt_tokens=prompt, completion_tokens=completion)
    return MetricInput("", None, Case(1, {}, sample))


async def test_what_was_measured_is_the_value() -> None:
    inputs = [took(0.25, 100, 7), took(None, None, None)]
    scores = [await score(name, inputs) for name in NAMES]
    assert [first.value for first, _ in scores] == [0.25, 100.0, 7.0]
    assert [second.value for _, second in scores] == [None, None, None]


async def test_latencys_summary_has_median_and_p95() -> None:
    scores = await score("latency_s", [took(seconds, 1, 1) for seconds in SECONDS])
    summarise = find_metric("latency_s").summarise
    assert summarise is not None
    assert summarise(scores) == pytest.approx(
        {
            f"latency_s_p{percent}": np.percentile(SECONDS, percent, method="inverted_cdf")
            for percent in (50, 95)
        }
    )
    assert summarise([]) == {}


async def test_cost_is_by_the_million_tokens() -> None:
    inputs = [took(1.0, 2_000_000, 500_000), took(1.0, 0, 100), took(1.0, 5, None)]
    scores = await score("cost", inputs, prompt_price=0.15, completion_price=2)
    assert [one.value for one in scores] == [pytest.approx(1.3), pytest.approx(0.0002), None]
    summarise = find_metric("cost").summarise
    assert summarise is not None
    assert summarise(scores) == pytest.approx({"cost_total": 1.3002})


@pytest.mark.parametrize("name", [*NAMES, "cost"])
def test_less_is_better(name: str) -> None:
    assert not find_metric(name).higher_is_better
