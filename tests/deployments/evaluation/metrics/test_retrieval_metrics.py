"""Measures of a ranking against scikit-learn, and against their definitions."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from deployments.evaluation.cases import Case, Passage
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.metrics.retrieval import ndcg_at_k, ranked_documents
from tests.fixtures.answers import ranking_inputs, score

NAMES = ("recall_at_k", "precision_at_k", "mrr", "ndcg_at_k")
DOCUMENTS = st.sampled_from([f"document-{number}" for number in range(12)])


async def measured(ranking: list[str], relevant: Any, k: int) -> dict[str, float | None]:
    inputs = ranking_inputs([ranking], [relevant])
    return {name: (await score(name, inputs, k=k))[0].value for name in NAMES}


def scikit_ndcg(ranked: list[str], gains: dict[str, float], k: int) -> float:
    """scikit-learn ranks all documents: those not found stand after k places without a gain."""
    missing = [name for name in gains if name not in ranked]
    order = [*ranked, *(f"filler-{number}" for number in range(k)), *missing]
    truth = [gains.get(name, 0.0) for name in order]
    return float(ndcg_score([truth], [[-place for place in range(len(order))]], k=k))


@given(
    st.lists(DOCUMENTS, max_size=20),
    st.dictionaries(DOCUMENTS, st.integers(1, 5).map(float), min_size=1),
    st.integers(1, 15),
)
async def test_a_ranking_is_measured_by_the_definitions(
    ranking: list[str], gains: dict[str, float], k: int
) -> None:
    ranked = list(dict.fromkeys(ranking))
    relevant_at = [rank for rank, name in enumerate(ranked, 1) if name in gains]
    within = [rank for rank in relevant_at if rank <= k]
    assert await measured(ranking, gains, k) == pytest.approx(
        {
            "recall_at_k": len(within) / len(gains),
            "precision_at_k": len(within) / k,
            "mrr": 1 / within[0] if within else 0.0,
            "ndcg_at_k": scikit_ndcg(ranked, gains, k),
        },
        abs=1e-6,
    )


async def test_by_hand() -> None:
    # Relevant at ranks 2 and 4 of four documents, one of three never found.
    ranking = ["a", "b", "b", "a", "c", "b", "d"]
    found = await measured(ranking, ["b", "d", "z"], 4)
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert found == pytest.approx(
        {
            "recall_at_k": 2 / 3,
            "precision_at_k": 2 / 4,
            "mrr": 1 / 2,
            "ndcg_at_k": (1 / math.log2(3) + 1 / math.log2(5)) / best,
        }
    )
    assert await measured(ranking, ["b", "d", "z"], 1) == dict.fromkeys(NAMES, 0.0)


@given(
    st.dictionaries(DOCUMENTS, st.floats(0.1, 10), min_size=1),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
def test_no_order_is_better_than_by_gain(gains: dict[str, float], k: int, chance: Any) -> None:
    best = sorted(gains, key=lambda name: -gains[name])
    assert ndcg_at_k(best, gains, k) == pytest.approx(1.0)
    chance.shuffle(best)
    assert 0.0 <= ndcg_at_k(best, gains, k) <= 1.0 + 1e-9


def test_a_document_stands_where_its_first_passage_does() -> None:
    passages = [Passage("", name) for name in ("b", "", "a", "b", "", "a", "c")]
    assert ranked_documents(passages) == ["b", None, "a", None, "c"]


@pytest.mark.parametrize(
    "relevant", [["a", "b"], {"a": 1, "b": 1.0, "c": 0}, '["a", "b"]', '{"a": 1, "b": 1}']
)
async def test_how_relevant_documents_may_be_named(relevant: Any) -> None:
    assert (await measured(["a"], relevant, 2))["recall_at_k"] == 0.5


@pytest.mark.parametrize("name", ["a", "[draft] a.pdf", "{a}"])
async def test_a_single_name_will_do(name: str) -> None:
    assert (await measured([name], name, 1))["precision_at_k"] == 1.0


async def test_a_search_that_found_nothing_found_nothing_relevant() -> None:
    assert await measured([], ["a"], 3) == dict.fromkeys(NAMES, 0.0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("relevant", "reason"),
    [
        ([], "No document is relevant"),
        ({"a": 0}, "No document is relevant"),
        ("", "No document is relevant"),
        (None, "must be a list of documents' names"),
        (["a", 3], "must be a list of documents' names"),
        ({"a": -1}, "must be a list of documents' names"),
        ({"a": math.nan}, "must be a list of documents' names"),
        ({"a": True}, "must be a list of documents' names"),
    ],
)
async def test_without_relevant_documents_there_is_no_score(
    name: str, relevant: Any, reason: str
) -> None:
    (found,) = await score(name, ranking_inputs([["a"]], [relevant]))
    assert found.value is None
    assert reason in found.detail["reason"]


async def test_an_answer_of_the_items_own_has_no_passages() -> None:
    (found,) = await score("mrr", [MetricInput("an answer", ["a"], Case(1, {}))])
    assert found.value is None
