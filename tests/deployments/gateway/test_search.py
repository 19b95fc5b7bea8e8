"""`POST /v1/vector_stores/{id}/search`."""

import httpx2
import openai
import pytest

from deployments.errors import Overloaded, Unavailable
from tests.deployments.gateway.conftest import upload
from tests.fakes.parts import FakeIngestor, FakeRetriever


@pytest.fixture
async def store_id(client: openai.AsyncOpenAI, ingestor: FakeIngestor) -> str:
    file_id = await upload(client, "The sky is blue.\n\nThe grass is green.")
    store = await client.vector_stores.create()
    await client.vector_stores.files.create(
        store.id, file_id=file_id, attributes={"topic": "colours"}
    )
    await ingestor.work()
    return store.id


async def test_a_result_is_openais_object_and_ours(
    client: openai.AsyncOpenAI, store_id: str
) -> None:
    page = await client.vector_stores.search(store_id, query="blue sky", max_num_results=1)
    assert page.object == "vector_store.search_results.page"
    [found] = page.data
    assert [item.text for item in found.content] == ["The sky is blue."]
    assert found.filename == "notes.txt"
    assert found.attributes == {"topic": "colours"}
    assert found.score == 1
    extra = found.model_extra or {}
    assert (extra["page"], extra["page_end"], extra["section"]) == (1, 1, ["Top"])
    assert (extra["start"], extra["end"], extra["passage_id"]) == (0, 16, "psg_1_0")


async def test_options_reach_the_retriever(
    client: openai.AsyncOpenAI, store_id: str, retriever: FakeRetriever
) -> None:
    await client.vector_stores.search(
        store_id,
        query="sky",
        filters={"type": "eq", "key": "topic", "value": "colours"},
        max_num_results=7,
        ranking_options={"ranker": "auto", "score_threshold": 0.2},
        rewrite_query=True,
        extra_body={"mode": "bm25", "fusion": "weighted", "rerank": True, "mmr_lambda": 0.5},
    )
    [request] = retriever.requests
    assert request.store_ids == (store_id,)
    assert request.limit == 7
    assert request.filters == {"type": "eq", "key": "topic", "value": "colours"}
    assert (request.mode, request.fusion, request.rerank) == ("bm25", "weighted", True)
    assert (request.mmr_lambda, request.score_threshold) == (0.5, 0.2)


async def test_the_ranker_none_switches_reranking_off(
    client: openai.AsyncOpenAI, store_id: str, retriever: FakeRetriever
) -> None:
    await client.vector_stores.search(
        store_id, query="sky", ranking_options={"ranker": "none"}, extra_body={"rerank": True}
    )
    assert retriever.requests[0].rerank is False


async def test_several_queries_give_each_passage_once(
    http: httpx2.AsyncClient, store_id: str
) -> None:
    answer = await http.post(
        f"/v1/vector_stores/{store_id}/search", json={"query": ["blue sky", "green"]}
    )
    page = answer.json()
    assert page["search_query"] == ["blue sky", "green"]
    assert {row["passage_id"]: row["score"] for row in page["data"]} == {
        "psg_1_0": 1.0,
        "psg_1_1": 1.0,
    }


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": []}, "query"),
        ({"query": 7}, "query"),
        ({"query": ["ok", ""]}, "query.1"),
        ({"query": "x", "max_num_results": 51}, "max_num_results"),
        ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
        (
            {"query": "x", "ranking_options": {"score_threshold": 2}},
            "ranking_options.score_threshold",
        ),
        ({"query": "x", "mode": "fuzzy"}, "mode"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_field_that_is_wrong_is_named(
    http: httpx2.AsyncClient, store_id: str, body: dict[str, object], param: str
) -> None:
    answer = await http.post(f"/v1/vector_stores/{store_id}/search", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_a_missing_store_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="vs_missing"):
        await client.vector_stores.search("vs_missing", query="x")


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        (Overloaded("Busy.", retry_after_s=7), 429, "7"),
        (Unavailable("Restarting."), 503, "2"),
    ],
)
async def test_a_retriever_that_refuses_says_when_to_come_back(
    http: httpx2.AsyncClient,
    store_id: str,
    retriever: FakeRetriever,
    failure: Overloaded | Unavailable,
    status: int,
    retry_after: str,
) -> None:
    retriever.failure = failure
    answer = await http.post(f"/v1/vector_stores/{store_id}/search", json={"query": "x"})
    assert answer.status_code == status
    assert answer.headers["retry-after"] == retry_after
    assert answer.json()["error"]["message"] == failure.message
