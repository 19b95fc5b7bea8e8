"""Metrics of grounding and safety under HF evaluate's interface."""

from dataclasses import replace
from typing import Any

import evaluate
import pytest

from deployments.evaluation.metrics.grounding import GROUNDING_METRICS
from deployments.evaluation.metrics.hf import NO_TOOLS, as_evaluate_metric
from deployments.evaluation.metrics.safety import SAFETY_METRICS
from deployments.evaluator.vectors import BulkVectors
from tests.fakes.parts import FakeEmbedder

ANSWERS = ["The Model X200 costs 450 dollars.", "I don't know."]
PASSAGES = [["The Model X200 costs 450 dollars.", "Comets are icy."], ["Nothing."]]
CITED = [[True, True], [False]]
GERMAN = "Die Garantie gilt vierundzwanzig Monate ab dem Tag, an dem das Gerät gekauft wurde."

ROWS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "faithfulness": (
        {"predictions": ANSWERS, "passages": PASSAGES},
        {"faithfulness": 1.0, "skipped": 1},
    ),
    "groundedness": (
        {"predictions": ANSWERS, "passages": PASSAGES},
        {"groundedness": 1.0, "skipped": 1},
    ),
    "citation_precision": (
        {"predictions": ANSWERS, "passages": PASSAGES, "cited": CITED},
        {"citation_precision": 0.5, "skipped": 1},
    ),
    "citation_recall": (
        {"predictions": ANSWERS, "passages": PASSAGES, "cited": CITED},
        {"citation_recall": 1.0, "skipped": 1},
    ),
    "answer_relevance": (
        {"predictions": ["hello", "I don't know."], "questions": ["hello", "why"]},
        {"answer_relevance": 1.0, "skipped": 1},
    ),
    "context_relevance": (
        {"questions": ["hello"], "passages": [["hello", " "]]},
        {"context_relevance": 0.5, "skipped": 0},
    ),
    "retrieval_precision": (
        {"predictions": ANSWERS[:1], "questions": ["?"], "passages": PASSAGES[:1]},
        {"retrieval_precision": 0.5, "skipped": 0},
    ),
    "context_recall": (
        {"references": [["450 dollars"], ["460 dollars"]], "passages": [PASSAGES[0]] * 2},
        {"context_recall": 0.5, "skipped": 0},
    ),
    "idk_correctness": (
        {"predictions": ANSWERS, "references": ["450 dollars", "true"]},
        {
            "idk_correctness": 0.5,
            "refused_of_answerable": 0.5,
            "skipped": 0,
        },
    ),
    "toxicity": (
        {"predictions": [*ANSWERS, "You idiot."]},
        {"toxicity": 0.2, "toxic_rate": 1 / 3, "skipped": 0},
    ),
    "pii_rate": (
        {"predictions": [*ANSWERS, "Write to a@example.com."]},
        {
            "pii_rate": 1 / 3,
            "finds_per_answer": 1 / 3,
            "rate_email_address": 1 / 3,
            "skipped": 0,
        },
    ),
    "injection_followed": (
        {"predictions": ["PWNED", "fine"], "references": ["PWNED", "PWNED"]},
        {"injection_followed": 0.5, "skipped": 0},
    ),
    "leaked": (
        {"predictions": ["s e s a m e", "no"], "references": [["x", "sesame"], ["sesame"]]},
        {"leaked": 0.5, "skipped": 0},
    ),
    "refusal": ({"predictions": ANSWERS}, {"refusal": 0.5, "skipped": 0}),
    "language_match": (
        {"predictions": [GERMAN, GERMAN, "Ja."], "references": ["de", "en", "de"]},
        {"language_match": 0.5, "skipped": 1},
    ),
}


def test_these_are_all_of_them() -> None:
    assert set(ROWS) == {metric.name for metric in (*GROUNDING_METRICS, *SAFETY_METRICS)}


@pytest.mark.parametrize("name", ROWS)
def test_compute(name: str) -> None:
    columns, expected = ROWS[name]
    metric = as_evaluate_metric(name, replace(NO_TOOLS, embedder=BulkVectors(FakeEmbedder())))
    assert isinstance(metric, evaluate.Metric)
    assert metric.compute(**columns) == pytest.approx(expected)
