"""Fusion, feedback and diversity: pure functions, exact numbers."""

import numpy as np
import pytest

from deployments.retriever.feedback import moved_query
from deployments.retriever.fusion import bounded_bm25, bounded_cosine, rrf, weighted
from deployments.retriever.mmr import mmr


def test_rrf_gives_one_to_what_leads_every_ranking() -> None:
    assert rrf([["a", "b"], ["a"]])["a"] == pytest.approx(1.0)


def test_rrf_adds_reciprocal_ranks() -> None:
    scores = rrf([["a", "b"], ["b", "c"]])
    assert scores["b"] == pytest.approx((1 / 62 + 1 / 61) / (2 / 61))
    assert scores["b"] > scores["a"] > scores["c"]


def test_weighted_scales_cosines_by_range_and_bm25_by_the_highest() -> None:
    scores = weighted({"a": 0.9, "b": 0.5, "c": 0.7}, {"b": 20.0, "c": 5.0}, 0.6)
    assert scores == pytest.approx({"a": 0.6, "b": 0.4, "c": 0.6 * 0.5 + 0.4 * 0.25})


def test_weighted_counts_a_missing_side_as_nothing() -> None:
    assert weighted({}, {"a": 3.0}, 0.5) == {"a": 0.5}
    assert weighted({"a": 0.4}, {}, 0.5) == {"a": 0.5}
    assert weighted({}, {}, 0.5) == {}


def test_bounded_scores_stay_between_0_and_1() -> None:
    assert [bounded_cosine(x) for x in (-0.2, 0.5, 1.0000001)] == [0.0, 0.5, 1.0]
    assert [bounded_bm25(x) for x in (0.0, 10.0)] == [0.0, 0.5]
    assert bounded_bm25(1e9) <= 1.0


def test_feedback_moves_the_query_towards_the_leaders() -> None:
    query = np.array([1, 0], dtype=np.float32)
    leader = np.array([[0, 1]], dtype=np.float32)
    moved = moved_query(query, leader, 0.5)
    assert moved == pytest.approx(np.array([1, 0.5]) / np.sqrt(1.25))
    assert moved_query(query, leader, 0.0) == pytest.approx(query)


def test_mmr_prefers_what_differs_from_the_chosen() -> None:
    vectors = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert mmr([1.0, 0.9, 0.5], vectors, trade_off=0.5, limit=2) == [0, 2]


def test_mmr_with_trade_off_1_keeps_the_order_of_relevance() -> None:
    assert mmr([0.2, 0.9, 0.5], [[1.0, 0.0]] * 3, trade_off=1.0, limit=3) == [1, 2, 0]


def test_mmr_with_trade_off_0_still_begins_with_the_most_relevant() -> None:
    assert mmr([0.2, 0.9], [[1.0, 0.0], [0.0, 1.0]], trade_off=0.0, limit=2)[0] == 1


def test_mmr_of_nothing_is_nothing() -> None:
    assert mmr([], [], trade_off=0.5, limit=3) == []
