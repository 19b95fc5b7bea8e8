"""The index's contract, on a real Milvus Lite and on any server that the environment names."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pytest

from cluster.errors import VectorDatabaseError
from cluster.ids import DEFAULT_PROJECT as PROJECT
from cluster.ids import new_id
from ingestion.analysis import analyse_query
from ingestion.index import PassageIndex, collection_name
from tests.fixtures.milvus import milvus_uri
from tests.fixtures.passages import DIMENSION, make_passage, unit

__all__ = ["milvus_uri"]

pytestmark = pytest.mark.integration


@pytest.fixture
def index(milvus_uri: str) -> Iterator[PassageIndex]:
    """An empty index in a collection of its own."""
    opened = PassageIndex(milvus_uri, collection_name(new_id("test"), DIMENSION), DIMENSION)
    yield opened
    opened.drop()
    opened.close()


def test_a_passage_comes_back_as_it_was_written(index: PassageIndex) -> None:
    written = make_passage("Grüße, 世界 🦆", number=7, ordinal=3, page=2, section=("A", "B"))
    index.upsert([written])
    (hit,) = index.search_dense(unit(3), PROJECT, ["vs_a"], 5, with_vectors=True)
    assert (hit.id, hit.text, hit.number, hit.file_id) == (
        written.id,
        "Grüße, 世界 🦆",
        7,
        "file-7",
    )
    assert (hit.start, hit.end, hit.ordinal) == (300, 300 + len("Grüße, 世界 🦆"), 3)
    assert (hit.page, hit.page_end, hit.section) == (2, 2, ("A", "B"))
    assert hit.vector == pytest.approx(unit(3))


def test_a_passage_without_a_page_has_none(index: PassageIndex) -> None:
    index.upsert([make_passage("no page")])
    assert index.search_dense(unit(0), PROJECT, ["vs_a"], 1)[0].page is None


@pytest.mark.parametrize("settled", [False, True])
def test_dense_scores_are_cosines_best_first(index: PassageIndex, settled: bool) -> None:
    index.upsert(
        [
            make_passage("near", ordinal=0, vector=unit(0)),
            make_passage("between", ordinal=1, vector=unit(0, 1)),
            make_passage("far", ordinal=2, vector=unit(1)),
        ]
    )
    if settled:
        index.settle()
    hits = index.search_dense(unit(0), PROJECT, ["vs_a"], 3)
    assert [hit.text for hit in hits] == ["near", "between", "far"]
    assert [hit.score for hit in hits] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-5)
    assert [hit.dense_score for hit in hits] == [hit.score for hit in hits]


@pytest.mark.parametrize("settled", [False, True])
def test_bm25_scores_are_positive_best_first(index: PassageIndex, settled: bool) -> None:
    index.upsert(
        [
            make_passage("wing wing slipstream", ordinal=0),
            make_passage("a wing in a long text about many other things", ordinal=1),
            make_passage("heat conduction", ordinal=2),
        ]
    )
    if settled:
        index.settle()
    hits = index.search_bm25(analyse_query("the wings"), PROJECT, ["vs_a"], 5)
    assert [hit.ordinal for hit in hits] == [0, 1]
    assert hits[0].score > hits[1].score > 0
    assert hits[0].bm25_score == hits[0].score


def test_words_are_found_by_stem_and_by_section(index: PassageIndex) -> None:
    index.upsert([make_passage("conducted tests", section=("Slabs",))])
    for query in ("conducting", "slab"):
        assert index.search_bm25(analyse_query(query), PROJECT, ["vs_a"], 1), query


def test_a_query_without_words_finds_nothing(index: PassageIndex) -> None:
    index.upsert([make_passage("text")])
    assert index.search_bm25(analyse_query("?!"), PROJECT, ["vs_a"], 5) == []


def test_writing_an_id_again_replaces_it(index: PassageIndex) -> None:
    index.upsert([make_passage("old")])
    index.settle()
    index.upsert([make_passage("new")])
    assert index.count() == 1
    assert [hit.text for hit in index.search_dense(unit(0), PROJECT, ["vs_a"], 5)] == ["new"]
    assert index.search_bm25(analyse_query("old"), PROJECT, ["vs_a"], 5) == []


def test_stores_are_apart(index: PassageIndex) -> None:
    index.upsert([make_passage("one", store="vs_a"), make_passage("two", store="vs_b")])
    assert [hit.text for hit in index.search_dense(unit(0), PROJECT, ["vs_b"], 5)] == ["two"]
    assert {hit.text for hit in index.search_dense(unit(0), PROJECT, ["vs_a", "vs_b"], 5)} == {
        "one",
        "two",
    }


def test_numbers_and_exclusions_narrow_both_searches(index: PassageIndex) -> None:
    index.upsert([make_passage(f"wing {n}", number=n, vector=unit(0)) for n in (1, 2, 3)])
    for settled in (False, True):
        if settled:
            index.settle()
        for find in (
            partial(index.search_dense, unit(0), PROJECT, ["vs_a"], 5),
            partial(index.search_bm25, "wing", PROJECT, ["vs_a"], 5),
        ):
            assert {hit.number for hit in find(numbers=[1, 3])} == {1, 3}
            assert {hit.number for hit in find(excluded=[1, 3])} == {2}


def test_deleted_documents_are_gone_from_every_view(index: PassageIndex) -> None:
    index.upsert([make_passage(f"wing {n}", number=n, ordinal=n) for n in (1, 2)])
    index.settle()
    index.delete(PROJECT, "vs_a", [1, 99])
    assert index.count(PROJECT, "vs_a") == 1
    assert index.count(PROJECT, "vs_a", [1]) == 0
    assert {hit.number for hit in index.search_dense(unit(1), PROJECT, ["vs_a"], 5)} == {2}
    assert {hit.number for hit in index.search_bm25("wing", PROJECT, ["vs_a"], 5)} == {2}


def test_deletion_keeps_to_its_store(index: PassageIndex) -> None:
    index.upsert([make_passage("a", store="vs_a"), make_passage("b", store="vs_b")])
    index.delete(PROJECT, "vs_a", [1])
    assert (index.count(PROJECT, "vs_a"), index.count(PROJECT, "vs_b")) == (0, 1)


def test_texts_come_in_the_documents_order(index: PassageIndex) -> None:
    index.upsert([make_passage(f"part {n}", ordinal=n) for n in (2, 0, 1)])
    assert index.texts(PROJECT, "vs_a", 1) == ["part 0", "part 1", "part 2"]
    assert index.texts(PROJECT, "vs_a", 2) == []


def test_a_passage_that_milvus_cannot_hold_is_refused_by_name(index: PassageIndex) -> None:
    with pytest.raises(VectorDatabaseError, match="smaller chunks"):
        index.upsert([make_passage("x" * 70_000)])


def test_another_dimension_is_refused(index: PassageIndex) -> None:
    index.ensure()
    other = PassageIndex(index.uri, index.collection, DIMENSION + 1)
    with pytest.raises(VectorDatabaseError, match="dimensions"):
        other.ensure()


def test_names_of_models_give_distinct_collections() -> None:
    assert collection_name("org/Model-1.5", 384) == "passages_org_model_1_5_384"
    assert collection_name("a", 384) != collection_name("a", 768)


def test_an_unreachable_milvus_is_an_error_that_names_it() -> None:
    index = PassageIndex("http://127.0.0.1:9", "passages_x_8", DIMENSION, timeout_s=1)
    with pytest.raises(VectorDatabaseError, match=r"127\.0\.0\.1:9"):
        index.check()


@pytest.mark.parametrize("seed", range(3))
def test_a_random_history_leaves_what_was_written_last(index: PassageIndex, seed: int) -> None:
    chance = random.Random(seed)
    expected: dict[str, str] = {}
    for step in range(40):
        match chance.choice(("write", "write", "delete", "settle")):
            case "write":
                numbers = [chance.randrange(12) for _ in range(3)]
                written = {n: make_passage(f"wing {step} {n}", number=n) for n in numbers}
                index.upsert(list(written.values()))
                expected |= {passage.id: passage.chunk.text for passage in written.values()}
            case "delete":
                number = chance.randrange(12)
                index.delete(PROJECT, "vs_a", [number])
                expected.pop(make_passage("", number=number).id, None)
            case _:
                index.settle()
        for hits in (
            index.search_dense(unit(0), PROJECT, ["vs_a"], 20),
            index.search_bm25("wing", PROJECT, ["vs_a"], 20),
        ):
            assert {hit.id: hit.text for hit in hits} == expected


def test_a_store_of_another_project_finds_and_loses_nothing(index: PassageIndex) -> None:
    """Whatever the caller believes of the store: the project is part of every filter."""
    theirs = replace(make_passage("the secret wing", number=1), id="psg_1", project_id="proj_b")
    index.upsert([theirs, make_passage("my own wing", number=2)])
    for search in (
        partial(index.search_dense, unit(0)),
        partial(index.search_bm25, analyse_query("wing")),
    ):
        assert [hit.text for hit in search(PROJECT, ["vs_a"], 5)] == ["my own wing"]
        assert [hit.text for hit in search("proj_b", ["vs_a"], 5)] == ["the secret wing"]
        assert search("proj_b", ["vs_a"], 5, numbers=[2]) == []
    assert index.texts(PROJECT, "vs_a", 1) == []
    index.delete(PROJECT, "vs_a", [1])
    assert index.count("proj_b") == 1
    assert [index.delete_project("proj_b") for _ in range(2)] == [1, 0]
    assert (index.count("proj_b"), index.count(PROJECT)) == (0, 1)
