"""Our BM25 scoring of Milvus Lite against its own, which `install` replaces."""

import random

import numpy as np
import pytest
from milvus_lite.index.sparse_inverted import SparseInvertedIndex

from cluster.milvus_scoring import search, statistics

ROWS = 400


@pytest.fixture(scope="module")
def texts() -> list[dict[int, float]]:
    """Random texts as counts by term, some of them empty."""
    chance = random.Random(1)
    return [
        {chance.randrange(60): float(chance.randint(1, 4)) for _ in range(chance.randint(0, 20))}
        for _ in range(ROWS)
    ]


@pytest.fixture(scope="module")
def index(texts: list[dict[int, float]]) -> SparseInvertedIndex:
    """An index over them."""
    built = SparseInvertedIndex(k1=1.2, b=0.6)
    built.build(texts)
    return built


@pytest.fixture(scope="module")
def queries() -> list[dict[int, float]]:
    """Queries of five terms, an empty one, and one of an unknown term."""
    chance = random.Random(2)
    made: list[dict[int, float]] = [
        {chance.randrange(70): float(chance.randint(1, 2)) for _ in range(5)} for _ in range(20)
    ]
    return [*made, {}, {999: 1.0}]


@pytest.mark.parametrize("top_k", [5, 50, 1000])
def test_scores_and_order_are_milvus_lites(
    index: SparseInvertedIndex, queries: list[dict[int, float]], top_k: int
) -> None:
    theirs = SparseInvertedIndex.search(index, queries, top_k)
    ours = search(index, queries, top_k)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
    for row in range(len(queries)):
        assert set(ours[0][row]) == set(theirs[0][row]) or top_k < ROWS  # ties at the cut


def test_rows_that_are_masked_out_change_no_score(
    texts: list[dict[int, float]], index: SparseInvertedIndex, queries: list[dict[int, float]]
) -> None:
    chance = random.Random(3)
    mask = np.array([chance.random() > 0.7 for _ in range(ROWS)])
    alone = SparseInvertedIndex(k1=index.k1, b=index.b)
    alone.build([text for text, visible in zip(texts, mask, strict=True) if visible])
    places = np.flatnonzero(mask)
    expected = SparseInvertedIndex.search(alone, queries, ROWS)
    found = search(index, queries, ROWS, valid_mask=mask)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5)
    for row in range(len(queries)):
        assert set(found[0][row][found[0][row] >= 0]) == {
            int(places[place]) for place in expected[0][row] if place >= 0
        }


def test_scores_of_several_segments_are_those_of_one(
    texts: list[dict[int, float]], index: SparseInvertedIndex, queries: list[dict[int, float]]
) -> None:
    parts = []
    for chosen in (texts[:50], texts[50:]):
        part = SparseInvertedIndex(k1=index.k1, b=index.b)
        part.build(chosen)
        parts.append((part, np.ones(len(chosen), dtype=bool)))
    known = statistics(parts, queries)
    split = [search(part, queries, ROWS, mask, known)[1] for part, mask in parts]
    together = np.sort(np.concatenate(split, axis=1))[:, :ROWS]
    np.testing.assert_allclose(together, search(index, queries, ROWS)[1], rtol=1e-5)


def test_nothing_is_found_where_everything_is_masked_out(index: SparseInvertedIndex) -> None:
    ids, distances = search(index, [{1: 1.0}], 2, valid_mask=np.zeros(ROWS, dtype=bool))
    assert ids.tolist() == [[-1, -1]]
    assert np.isinf(distances).all()


def test_an_index_that_was_built_again_is_searched_anew() -> None:
    index = SparseInvertedIndex()
    index.build([{1: 1.0}, {2: 1.0}])
    assert search(index, [{1: 1.0}], 1)[0].tolist() == [[0]]
    index.build([{2: 1.0}, {1: 1.0}])
    assert search(index, [{1: 1.0}], 1)[0].tolist() == [[1]]


def test_a_mask_of_another_length_is_refused(index: SparseInvertedIndex) -> None:
    with pytest.raises(ValueError, match="valid_mask"):
        search(index, [{1: 1.0}], 1, valid_mask=np.ones(3, dtype=bool))
