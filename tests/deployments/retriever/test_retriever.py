"""The Retriever over real records (SQLite), with a small index in memory and a real Milvus once."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.database import Database
from cluster.errors import VectorDatabaseError
from cluster.ids import new_id
from cluster.records import VectorStore, VectorStoreFile
from cluster.settings import RetrievalSettings
from deployments.errors import DeadlineExceeded, InvalidRequest, NotFound, Unavailable
from deployments.ports import EmbeddedTexts
from deployments.retriever.messages import SearchRequest, SearchResult
from deployments.retriever.retriever import Retriever
from ingestion.analysis import terms
from ingestion.index import PassageIndex
from ingestion.passages import EmbeddedPassage, Hit
from tests.fixtures.milvus import milvus_uri
from tests.fixtures.passages import DIMENSION, make_passage, unit

__all__ = ["milvus_uri"]

PROJECT = "proj_default"


class MemoryIndex:
    """Exact searches over a list; what it stands for is tested in tests/ingestion/test_index.py."""

    def __init__(self) -> None:
        self.passages: list[EmbeddedPassage] = []
        self.before_search: Callable[[], None] = lambda: None
        self.limits: list[int] = []

    def upsert(self, passages: Sequence[EmbeddedPassage]) -> None:
        self.passages += passages

    def search_dense(
        self,
        vector: Sequence[float],
        project_id: str,
        store_ids: Sequence[str],
        limit: int,
        **narrow: Any,
    ) -> list[Hit]:
        def score(passage: EmbeddedPassage) -> float:
            return float(np.dot(vector, passage.vector))

        return self._best(score, -2.0, project_id, store_ids, limit, **narrow)

    def search_bm25(
        self, analysed: str, project_id: str, store_ids: Sequence[str], limit: int, **narrow: Any
    ) -> list[Hit]:
        def score(passage: EmbeddedPassage) -> float:
            counts = Counter(terms(passage.chunk.text))
            return sum(math.log(1 + counts[term]) for term in analysed.split())

        return self._best(score, 0.0, project_id, store_ids, limit, **narrow)

    def texts(self, project_id: str, store_id: str, number: int) -> list[str]:
        place = (project_id, store_id, number)
        return [
            p.chunk.text for p in self.passages if (p.project_id, p.store_id, p.number) == place
        ]

    def check(self) -> None:
        self.before_search()

    def close(self) -> None: ...

    def _best(
        self,
        score: Callable[[EmbeddedPassage], float],
        above: float,
        project_id: str,
        store_ids: Sequence[str],
        limit: int,
        *,
        numbers: Sequence[int] | None = None,
        excluded: Sequence[int] = (),
        with_vectors: bool = False,
    ) -> list[Hit]:
        self.before_search()
        self.limits.append(limit)
        hits = [
            Hit(
                id=p.id,
                store_id=p.store_id,
                number=p.number,
                file_id=p.file_id,
                ordinal=p.chunk.ordinal,
                text=p.chunk.text,
                start=p.chunk.start,
                end=p.chunk.end,
                page=p.chunk.page,
                page_end=p.chunk.page_end,
                section=p.chunk.section,
                score=score(p),
                vector=p.vector if with_vectors else None,
            )
            for p in self.passages
            if p.project_id == project_id
            and p.store_id in store_ids
            and (numbers is None or p.number in numbers)
            and p.number not in excluded
        ]
        return sorted((h for h in hits if h.score > above), key=lambda h: -h.score)[:limit]


class AxisEmbedder:
    """Every query lies on axis 0."""

    def __init__(self) -> None:
        self.delay = 0.0

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        await asyncio.sleep(self.delay)
        return EmbeddedTexts([unit(0) for _ in texts], [1] * len(texts))


class LengthReranker:
    """Longer is better."""

    async def score(self, query: str, documents: Sequence[str]) -> list[float]:
        return [min(1.0, len(document) / 100) for document in documents]


class World:
    """Records, an index and a Retriever over them."""

    def __init__(self, database: Database, index: Any, settings: RetrievalSettings) -> None:
        self.database = database
        self.index = index
        self.embedder = AxisEmbedder()
        self.retriever = Retriever(
            settings,
            index=index,
            embedder=self.embedder,
            database=database,
            reranker=LengthReranker(),
        )

    def store(self, store_id: str = "vs_a", project: str = PROJECT) -> None:
        with self.database.session() as session:
            session.add(VectorStore(id=store_id, project_id=project))

    def document(
        self,
        *texts: str,
        store: str = "vs_a",
        live: bool = True,
        attributes: dict[str, Any] | None = None,
        vector: list[float] | None = None,
    ) -> int:
        """Add a document version with one passage per text; returns its number."""
        with self.database.session() as session:
            row = VectorStoreFile(
                store_id=store,
                file_id="file-x",
                document_key=new_id("doc"),
                filename=f"{texts[0]}.txt",
                attributes=attributes or {},
                stage="completed",
                live=live,
                language="en",
            )
            session.add(row)
            session.flush()
            number = row.number
        self.index.upsert(
            [
                make_passage(text, number=number, ordinal=i, store=store, vector=vector or unit(i))
                for i, text in enumerate(texts)
            ]
        )
        return number

    def change(self, number: int, **values: Any) -> None:
        with self.database.session() as session:
            row = session.get_one(VectorStoreFile, number)
            for name, value in values.items():
                setattr(row, name, value)

    async def search(self, query: str = "wing", **options: Any) -> SearchResult:
        request = SearchRequest(PROJECT, ("vs_a",), query)
        return await self.retriever.search(replace(request, **options))

    async def found(self, query: str = "wing", **options: Any) -> list[str]:
        return [passage.text for passage in (await self.search(query, **options)).passages]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """Migrated records in a file."""
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}")
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def world(database: Database) -> World:
    """A world with one empty store."""
    made = World(database, MemoryIndex(), RetrievalSettings())
    made.store()
    return made


async def test_hybrid_finds_by_meaning_and_by_words(world: World) -> None:
    world.document("only near in meaning", vector=unit(0))
    world.document("the wing by name", vector=unit(3))
    result = await world.search()
    assert {passage.text for passage in result.passages} == {
        "only near in meaning",
        "the wing by name",
    }
    assert all(0 <= passage.score <= 1 for passage in result.passages)
    assert {"embed", "dense", "bm25", "fuse", "records", "total"} <= result.timings_ms.keys()


@pytest.mark.parametrize("fusion", ["rrf", "weighted"])
async def test_what_both_sides_find_comes_first(world: World, fusion: str) -> None:
    world.document("meaning", vector=unit(0, 1))
    world.document("wing", vector=unit(0, 2))
    world.document("a wing elsewhere", vector=unit(5))
    assert (await world.found(fusion=fusion))[0] == "wing"


async def test_a_passage_says_where_it_stands_and_why_it_was_found(world: World) -> None:
    world.document("wing", attributes={"year": 2024})
    (passage,) = (await world.search()).passages
    assert (passage.filename, passage.attributes) == ("wing.txt", {"year": 2024})
    assert passage.dense_score == pytest.approx(1.0)
    assert passage.bm25_score == pytest.approx(math.log(2))
    assert passage.rerank_score is None


async def test_a_hit_of_words_alone_has_no_cosine(world: World) -> None:
    world = World(world.database, world.index, RetrievalSettings(candidates=2, limit=2))
    world.document("meaning", vector=unit(0))
    world.document("meaning too", vector=unit(0, 1))
    world.document("wing", vector=unit(5))
    result = await world.search(mode="hybrid")
    cosines = {passage.text: passage.dense_score for passage in result.passages}
    assert cosines == {"meaning": pytest.approx(1.0), "wing": None}


async def test_single_modes_search_one_side(world: World) -> None:
    world.document("meaning", vector=unit(0))
    world.document("wing", vector=[-value for value in unit(0)])
    dense = await world.search(mode="dense", limit=1)
    assert [passage.text for passage in dense.passages] == ["meaning"]
    assert "bm25" not in dense.timings_ms
    words = await world.search(mode="bm25")
    assert [passage.text for passage in words.passages] == ["wing"]
    assert words.passages[0].dense_score is None
    assert "embed" not in words.timings_ms


async def test_documents_that_are_not_live_are_never_found(world: World) -> None:
    world.document("wing in progress", live=False)
    world.document("wing")
    assert await world.found() == ["wing"]


async def test_many_hidden_documents_do_not_crowd_out_live_ones(world: World) -> None:
    with world.database.session() as session:
        session.add_all(
            VectorStoreFile(
                store_id="vs_a", file_id="f", document_key=str(i), filename="f", live=False
            )
            for i in range(600)
        )
    for _ in range(60):
        world.document("wing wing wing", live=False)
    world.document("wing", vector=unit(5))
    assert await world.found() == ["wing"]


async def test_a_replacement_during_the_search_shows_one_of_the_versions(world: World) -> None:
    old = world.document("the old wing")
    new = world.document("the new wing", live=False)

    def replace_once() -> None:
        world.index.before_search = lambda: None
        with world.database.session() as session:
            session.get_one(VectorStoreFile, old).live = False
            session.get_one(VectorStoreFile, new).live = True

    world.index.before_search = replace_once
    assert await world.found() == ["the new wing"]


async def test_filters_keep_to_matching_documents(world: World) -> None:
    world.document("wing 1999", attributes={"year": 1999})
    world.document("wing 2024", attributes={"year": 2024})
    world.document("wing")
    newer = {"type": "gte", "key": "year", "value": 2000}
    assert await world.found(filters=newer) == ["wing 2024"]
    assert await world.found(filters={**newer, "value": 3000}) == []


async def test_a_wrong_filter_is_refused_with_its_place(world: World) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await world.search(filters={"type": "and", "filters": [{"type": "eq", "key": "a"}]})
    assert caught.value.param == "filters.filters[0].value"


@pytest.mark.parametrize("state", ["unknown", "deleted", "foreign"])
async def test_a_store_that_the_project_lacks_is_not_found(world: World, state: str) -> None:
    if state == "deleted":
        with world.database.session() as session:
            session.add(VectorStore(id="vs_z", deleted_at=1))
    if state == "foreign":
        world.store("vs_z", project="proj_other")
    with pytest.raises(NotFound, match="vs_z"):
        await world.search(store_ids=("vs_a", "vs_z"))


async def test_several_stores_are_searched_together(world: World) -> None:
    world.store("vs_b")
    world.document("wing a")
    world.document("wing b", store="vs_b")
    assert set(await world.found(store_ids=("vs_a", "vs_b"))) == {"wing a", "wing b"}


async def test_reranking_orders_anew_and_says_so(world: World) -> None:
    world.document("wing")
    world.document("wing, described at length")
    result = await world.search(rerank=True)
    assert [p.text for p in result.passages] == ["wing, described at length", "wing"]
    assert [p.rerank_score for p in result.passages] == [p.score for p in result.passages]


async def test_mmr_puts_different_passages_before_repeated_ones(world: World) -> None:
    world.document("wing wing", vector=unit(0))
    world.document("wing wing too", vector=unit(0))
    world.document("wing of another kind", vector=unit(0, 1))
    plain = await world.found(limit=2)
    diverse = await world.found(limit=2, mmr_lambda=0.3)
    assert "wing of another kind" not in plain
    assert "wing of another kind" in diverse


async def test_a_threshold_cuts_weak_passages(world: World) -> None:
    world.document("near", vector=unit(0))
    world.document("half", vector=unit(0, 1))
    assert await world.found(mode="dense", score_threshold=0.9) == ["near"]


async def test_the_limit_holds_and_at_least_as_many_candidates_are_taken(world: World) -> None:
    world.document(*(f"wing {n}" for n in range(8)))
    assert len(await world.found(limit=3)) == 3
    assert min(world.index.limits) >= 50


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"limit": 0}, "max_num_results"),
        ({"limit": 51}, "max_num_results"),
        ({"mmr_lambda": 2.0}, "mmr_lambda"),
        ({"score_threshold": -1.0}, "score_threshold"),
        ({"query": "  "}, "query"),
        ({"store_ids": ()}, "vector_store_ids"),
    ],
)
async def test_impossible_requests_name_the_field(
    world: World, options: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await world.retriever.search(replace(SearchRequest(PROJECT, ("vs_a",), "wing"), **options))
    assert caught.value.param == param


async def test_a_milvus_that_stays_away_is_unavailable(world: World) -> None:
    def down() -> None:
        raise VectorDatabaseError("Milvus is down.")

    world.index.before_search = down
    with pytest.raises(Unavailable, match="down"):
        await world.search()
    with pytest.raises(Unavailable, match="down"):
        await world.retriever.check()


async def test_a_search_has_a_deadline(world: World) -> None:
    world.retriever._settings = RetrievalSettings(timeout_s=0.05)
    world.embedder.delay = 30
    with pytest.raises(DeadlineExceeded):
        await world.search()


async def test_a_request_may_leave_it_less_time(world: World) -> None:
    world.embedder.delay = 30
    with pytest.raises(DeadlineExceeded, match=r"longer than 0\.05 s"):
        await world.search(deadline_s=0.05)


async def test_contents_are_the_documents_passages(world: World) -> None:
    number = world.document("one", "two")
    assert await world.retriever.contents(PROJECT, "vs_a", number) == ["one", "two"]


@pytest.mark.integration
async def test_the_same_over_a_real_milvus(database: Database, milvus_uri: str) -> None:
    index = PassageIndex(milvus_uri, f"passages_{new_id('test')}", DIMENSION)
    world = World(database, index, RetrievalSettings())
    world.store()
    kept = world.document("the wing by name", vector=unit(3), attributes={"year": 2024})
    gone = world.document("only near in meaning", vector=unit(0))
    assert len(await world.found()) == 2
    world.change(gone, live=False)
    assert await world.found() == ["the wing by name"]
    year = {"type": "eq", "key": "year", "value": 2024}
    assert await world.found(filters=year, mmr_lambda=0.5) == ["the wing by name"]
    assert await world.retriever.contents(PROJECT, "vs_a", kept) == ["the wing by name"]
    await world.retriever.check()
    index.drop()
