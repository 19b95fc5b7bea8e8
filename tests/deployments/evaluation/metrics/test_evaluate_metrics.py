"""Every metric under HF evaluate's interface."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import evaluate
import pytest

from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.errors import InvalidRequest, Unprocessable
from deployments.evaluation.metrics.grounding import GROUNDING_METRICS
from deployments.evaluation.metrics.hf import NO_TOOLS, as_evaluate_metric
from deployments.evaluation.metrics.registry import METRICS
from deployments.evaluation.metrics.safety import SAFETY_METRICS
from deployments.evaluation.toolbox import Toolbox
from tests.fakes.embedder import MiniLmEmbedder
from tests.fixtures.answers import ANSWER_PAIRS, MiniLmVectors, ranking_inputs, score, text_inputs

SAID = [said for said, _ in ANSWER_PAIRS]
WANTED = [wanted for _, wanted in ANSWER_PAIRS]
GROUNDED = {metric.name for metric in (*GROUNDING_METRICS, *SAFETY_METRICS)}
"""See test_evaluate_grounding.py."""
TEXTS = [
    name for name, metric in METRICS.items() if metric.reference == "texts" and name not in GROUNDED
]
RETRIEVAL = [name for name, metric in METRICS.items() if metric.reference == "documents"]
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "regex_match": (
        {"predictions": ["AB-12", "none"], "references": [r"\d+", r"\d+"]},
        {},
        {"regex_match": 0.5, "skipped": 0},
    ),
    "json_schema": (
        {"predictions": ["1", "x"], "references": ['{"type": "integer"}', "{"]},
        {},
        {"json_schema": 1.0, "skipped": 1},
    ),
    "numeric": (
        {"predictions": ["it is 3.1", "4"], "references": [3.0, 5.0]},
        {"absolute": 0.1},
        {"numeric": 0.5, "skipped": 0},
    ),
    "perplexity": (
        {"predictions": [[0.0, 0.0], []]},
        {},
        {"perplexity": 1.0, "skipped": 1},
    ),
    "latency_s": (
        {"predictions": [1.0, 2.0]},
        {},
        {"latency_s": 1.5, "latency_s_p50": 1.0, "latency_s_p95": 2.0, "skipped": 0},
    ),
    "prompt_tokens": (
        {"predictions": [3, 5]},
        {},
        {"prompt_tokens": 4.0, "prompt_tokens_total": 8.0, "skipped": 0},
    ),
    "completion_tokens": (
        {"predictions": [3, 5]},
        {},
        {"completion_tokens": 4.0, "completion_tokens_total": 8.0, "skipped": 0},
    ),
    "cost": (
        {"predictions": [{"prompt_tokens": 1_000_000, "completion_tokens": 0}]},
        {"prompt_price": 1.0, "completion_price": 2.0},
        {"cost": 1.0, "cost_total": 1.0, "skipped": 0},
    ),
}


@pytest.fixture(scope="module")
def tools(minilm: MiniLmEmbedder) -> Toolbox:
    settings = load_settings()
    encoder: Path = ensure_model(settings.embedding.source, settings.cache_dir)
    return replace(NO_TOOLS, embedder=MiniLmVectors(minilm), encoder=encoder)


def test_these_are_all_metrics() -> None:
    assert {*TEXTS, *RETRIEVAL, *OTHERS, *GROUNDED} == set(METRICS)


@pytest.mark.parametrize("name", TEXTS)
def test_compute_is_the_mean_and_the_summary(name: str, tools: Toolbox) -> None:
    said, wanted = SAID[:20], WANTED[:20]
    scores = asyncio.run(score(name, text_inputs(said, wanted), tools))
    values = [one.value for one in scores if one.value is not None]
    summarise = METRICS[name].summarise
    expected = {
        name: sum(values) / len(values),
        **(summarise(scores) if summarise else {}),
        "skipped": len(scores) - len(values),
    }
    metric = as_evaluate_metric(name, tools)
    assert isinstance(metric, evaluate.Metric)
    assert metric.name == name
    assert metric.compute(predictions=said, references=wanted) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", RETRIEVAL)
def test_compute_over_rankings(name: str) -> None:
    rankings, relevant = [["a", "b", "c"], ["d"], []], [["b", "x"], ["d"], ["a"]]
    scores = asyncio.run(score(name, ranking_inputs(rankings, relevant), k=2))
    expected = sum(one.value or 0.0 for one in scores) / 3
    found = as_evaluate_metric(name, k=2).compute(predictions=rankings, references=relevant)
    assert found == pytest.approx({name: expected, "skipped": 0})


def test_gains_are_given_as_json() -> None:
    found = as_evaluate_metric("ndcg_at_k").compute(
        predictions=[["a", "b"]], references=['{"b": 3, "a": 3}']
    )
    assert found == pytest.approx({"ndcg_at_k": 1.0, "skipped": 0})


@pytest.mark.parametrize("name", OTHERS)
def test_compute_over_other_rows(name: str) -> None:
    columns, options, expected = OTHERS[name]
    found = as_evaluate_metric(name, **options).compute(**columns)
    assert found == pytest.approx(expected)


def test_rows_may_be_added_one_by_one_and_in_batches() -> None:
    metric = as_evaluate_metric("rouge_l")
    metric.add(prediction=SAID[0], reference=WANTED[0])
    metric.add_batch(predictions=SAID[1:], references=WANTED[1:])
    at_once = as_evaluate_metric("rouge_l").compute(predictions=SAID, references=WANTED)
    assert metric.compute() == at_once
    # What was added is gone: the next corpus begins empty.
    assert metric.compute(predictions=["a"], references=["b"])["rouge_l"] == 0.0


def test_several_references_a_row() -> None:
    found = as_evaluate_metric("exact_match").compute(
        predictions=["two", "three"], references=[["2", "two"], ["2", "two"]]
    )
    assert found == {"exact_match": 0.5, "skipped": 0}


def test_options_may_come_with_compute() -> None:
    metric = as_evaluate_metric("exact_match", strict=True)
    rows = {"predictions": ["A"], "references": ["a"]}
    assert metric.compute(**rows)["exact_match"] == 0.0
    assert metric.compute(**rows, strict=False)["exact_match"] == 1.0
    with pytest.raises(InvalidRequest, match=r"options\.strickt"):
        metric.compute(**rows, strickt=True)


def test_metrics_combine() -> None:
    both = evaluate.combine([as_evaluate_metric("bleu"), as_evaluate_metric("rouge_1")])
    found = both.compute(predictions=SAID[:3], references=WANTED[:3])
    assert {"bleu", "corpus_bleu", "rouge_1"} <= found.keys()


async def test_it_computes_where_an_event_loop_runs() -> None:
    found = as_evaluate_metric("token_f1").compute(predictions=["a"], references=["a"])
    assert found["token_f1"] == 1.0


def test_no_row_with_a_score_is_no_zero() -> None:
    found = as_evaluate_metric("perplexity").compute(predictions=[[]])
    assert found == {"perplexity": None, "skipped": 1}


def test_wrong_names_and_options_are_refused_at_once() -> None:
    with pytest.raises(InvalidRequest, match="'sari'"):
        as_evaluate_metric("sari")
    with pytest.raises(InvalidRequest, match=r"options\.k"):
        as_evaluate_metric("mrr", k=0)


def test_a_missing_collaborator_is_named() -> None:
    with pytest.raises(Unprocessable, match="asks for `embedder`"):
        as_evaluate_metric("cosine").compute(predictions=["a"], references=["b"])
