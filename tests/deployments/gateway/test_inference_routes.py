"""`/v1/models`, `/v1/embeddings`, `/v1/rerank`, `/v1/traces`."""

import base64
import math
import struct

import httpx2
import openai
import pytest

from cluster.records import TraceScore
from deployments.gateway.services import Services

EMBEDDER = "all-minilm-l6-v2"


async def test_models_are_what_is_served_and_the_default_alias(
    client: openai.AsyncOpenAI,
) -> None:
    listed = [model async for model in client.models.list()]
    assert [model.id for model in listed] == ["smollm2-135m-instruct", EMBEDDER, "assistant"]
    found = await client.models.retrieve("smollm2-135m-instruct")
    assert (found.object, found.owned_by) == ("model", "everloop")
    assert found.created > 0


async def test_an_unknown_model_is_named_with_those_known(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.models.retrieve("org/gpt")
    assert caught.value.code == "model_not_found"
    assert "smollm2-135m-instruct" in caught.value.message


async def test_embeddings_come_in_order_with_their_usage(client: openai.AsyncOpenAI) -> None:
    made = await client.embeddings.create(model=EMBEDDER, input=["hello world", "again"])
    assert [item.index for item in made.data] == [0, 1]
    assert made.model == EMBEDDER
    assert made.usage.prompt_tokens == made.usage.total_tokens == 3
    one = await client.embeddings.create(model=EMBEDDER, input="again")
    assert one.data[0].embedding == made.data[1].embedding


async def test_base64_and_float_are_the_same_numbers(http: httpx2.AsyncClient) -> None:
    body = {"model": EMBEDDER, "input": "hello world"}
    plain = (await http.post("/v1/embeddings", json=body)).json()["data"][0]["embedding"]
    coded = await http.post("/v1/embeddings", json={**body, "encoding_format": "base64"})
    data = base64.b64decode(coded.json()["data"][0]["embedding"])
    assert struct.unpack(f"<{len(plain)}f", data) == pytest.approx(plain, abs=1e-6)


@pytest.mark.parametrize("tokens", [[0, 1], [[0, 1]]])
async def test_tokens_are_decoded(
    client: openai.AsyncOpenAI, tokens: list[int] | list[list[int]]
) -> None:
    text = await client.embeddings.create(model=EMBEDDER, input="hello world")
    coded = await client.embeddings.create(model=EMBEDDER, input=tokens)
    assert coded.data[0].embedding == text.data[0].embedding


async def test_dimensions_shorten_to_unit_length(client: openai.AsyncOpenAI) -> None:
    whole = await client.embeddings.create(model=EMBEDDER, input="hello world again")
    short = await client.embeddings.create(model=EMBEDDER, input="hello world again", dimensions=8)
    vector = short.data[0].embedding
    assert len(vector) == 8
    length = math.sqrt(sum(x * x for x in whole.data[0].embedding[:8])) or 1.0
    expected = [x / length for x in whole.data[0].embedding[:8]]
    assert vector == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input.1"),
        ({"input": [[]]}, "input.0"),
        ({"input": [-1]}, "input.0"),
        ({"input": "x", "dimensions": 17}, "dimensions"),
        ({"input": "x", "encoding_format": "hex"}, "encoding_format"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_wrong_embedding_field_is_named(
    http: httpx2.AsyncClient, body: dict[str, object], param: str
) -> None:
    answer = await http.post("/v1/embeddings", json={"model": EMBEDDER, **body})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


async def test_a_chat_model_does_not_embed(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        await client.embeddings.create(model="smollm2-135m-instruct", input="x")


async def test_rerank_orders_by_relevance(http: httpx2.AsyncClient) -> None:
    documents = ["Cats purr.", {"text": "The sky is blue.", "id": 7}, "The sky."]
    answer = await http.post(
        "/v1/rerank",
        json={"query": "blue sky", "documents": documents, "top_n": 2, "return_documents": True},
    )
    results = answer.json()["results"]
    assert [row["index"] for row in results] == [1, 2]
    assert results[0]["relevance_score"] == 1.0
    assert results[0]["document"] == {"text": "The sky is blue.", "id": 7}
    assert results[1]["document"] == {"text": "The sky."}


async def test_rerank_leaves_documents_out_by_default(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/rerank", json={"query": "x", "documents": ["a", "x"]})
    body = answer.json()
    assert body["results"] == [
        {"index": 1, "relevance_score": 1.0},
        {"index": 0, "relevance_score": 0.0},
    ]
    assert body["id"].startswith("rerank_")
    assert body["model"] == "late-interaction"
    assert body["meta"]["billed_units"] == {"search_units": 1}


async def test_a_trace_is_there_right_after_the_answer(
    http: httpx2.AsyncClient, parts: Services
) -> None:
    answer = await http.post(
        "/v1/rerank",
        json={"query": "blue", "documents": ["blue"]},
        headers={"x-request-id": "mine-1"},
    )
    trace_id = answer.headers["x-trace-id"]
    with parts.database.session() as session:
        session.add(
            TraceScore(trace_id=trace_id, name="groundedness", value=0.5, evaluator="lexical")
        )
    by_id = (await http.get(f"/v1/traces/{trace_id}")).json()
    assert by_id["object"] == "trace"
    assert by_id["route"] == "/v1/rerank"
    assert by_id["question"] == "blue"
    assert by_id["status"] == 200
    assert by_id["duration_ms"] > 0
    assert by_id["timings_ms"] == {}
    assert [(score["name"], score["value"]) for score in by_id["scores"]] == [("groundedness", 0.5)]
    assert (await http.get("/v1/traces/mine-1")).json() == by_id


async def test_a_failed_inference_leaves_a_trace_with_its_status(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post(
        "/v1/embeddings", json={"model": EMBEDDER, "input": "x", "dimensions": 99}
    )
    trace = (await http.get(f"/v1/traces/{answer.headers['x-trace-id']}")).json()
    assert trace["status"] == 400


async def test_traces_are_listed_newest_first(http: httpx2.AsyncClient) -> None:
    ids = []
    for path, body in (
        ("/v1/rerank", {"query": "x", "documents": ["a"]}),
        ("/v1/embeddings", {"model": EMBEDDER, "input": "x"}),
    ):
        ids.append((await http.post(path, json=body)).headers["x-trace-id"])
    listed = (await http.get("/v1/traces?limit=1")).json()
    assert [trace["id"] for trace in listed["data"]] == [ids[1]]
    assert listed["has_more"]
    only = (await http.get("/v1/traces?route=/v1/rerank")).json()
    assert [trace["id"] for trace in only["data"]] == [ids[0]]


async def test_a_missing_trace_is_404(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/v1/traces/trace_missing")).status_code == 404
