"""`/v1/vector_stores`."""

import openai
import pytest

from cluster.records import VectorStore
from deployments.errors import Unavailable
from deployments.gateway.services import Services
from tests.deployments.gateway.conftest import upload
from tests.fakes.parts import FakeIngestor


async def test_a_store_is_openais_object(client: openai.AsyncOpenAI) -> None:
    made = await client.vector_stores.create(
        name="handbooks",
        description="What we do.",
        metadata={"team": "people"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    assert made.object == "vector_store"
    assert made.name == "handbooks"
    assert made.metadata == {"team": "people"}
    assert made.status == "completed"
    assert made.usage_bytes == 0
    assert made.file_counts.total == 0
    assert made.last_active_at is not None
    assert made.expires_at == made.last_active_at + 7 * 86400
    assert await client.vector_stores.retrieve(made.id) == made


async def test_files_given_at_creation_are_ingested(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    files = [await upload(client, "The sky is blue.", "a.txt"), await upload(client, "", "b.txt")]
    made = await client.vector_stores.create(file_ids=files)
    assert made.status == "in_progress"
    assert made.file_counts.in_progress == 2
    assert ingestor.woken.is_set()
    await ingestor.work()
    done = await client.vector_stores.retrieve(made.id)
    assert done.status == "completed"
    assert (done.file_counts.completed, done.file_counts.failed) == (1, 1)
    assert done.file_counts.total == 2
    assert done.usage_bytes == 16


async def test_a_store_with_a_file_that_is_missing_is_not_created(
    client: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.vector_stores.create(file_ids=["file-missing"])
    assert caught.value.param == "file_id"
    assert (await client.vector_stores.list()).data == []


async def test_an_ingestor_that_is_down_does_not_stop_the_queueing(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    ingestor.failure = Unavailable("The Ingestor is restarting.")
    made = await client.vector_stores.create(file_ids=[await upload(client, "x")])
    assert made.file_counts.in_progress == 1


async def test_update_changes_what_is_given(client: openai.AsyncOpenAI) -> None:
    made = await client.vector_stores.create(name="old", metadata={"a": "b"})
    renamed = await client.vector_stores.update(made.id, name="new")
    assert (renamed.name, renamed.metadata) == ("new", {"a": "b"})
    cleared = await client.vector_stores.update(made.id, metadata=None)
    assert (cleared.name, cleared.metadata) == ("new", {})


async def test_list_pages_both_ways(client: openai.AsyncOpenAI) -> None:
    ids = [(await client.vector_stores.create(name=str(n))).id for n in range(5)]
    assert [store.id async for store in client.vector_stores.list(limit=2)] == ids[::-1]
    before = await client.vector_stores.list(before=ids[0], limit=2)
    assert [store.id for store in before.data] == [ids[2], ids[1]]
    assert before.has_more
    rising = await client.vector_stores.list(order="asc", after=ids[3])
    assert [store.id for store in rising.data] == [ids[4]]
    assert not rising.has_more


async def test_list_finds_a_store_by_name(client: openai.AsyncOpenAI) -> None:
    await client.vector_stores.create(name="other")
    made = await client.vector_stores.create(name="wanted")
    page = await client.vector_stores.list(extra_query={"name": "wanted"})
    assert [store.id for store in page.data] == [made.id]


async def test_a_deleted_store_is_gone_and_its_passages_are_purged(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor, parts: Services
) -> None:
    told: list[object] = []
    object.__setattr__(parts, "note_deletion", lambda kind, ids: told.append((kind, ids)))
    file_id = await upload(client, "The sky is blue.")
    made = await client.vector_stores.create(file_ids=[file_id])
    await ingestor.work()
    deleted = await client.vector_stores.delete(made.id)
    assert (deleted.id, deleted.deleted) == (made.id, True)
    assert deleted.object == "vector_store.deleted"
    assert told == [("vector_store", [made.id])]
    assert len(ingestor.purged) == 1
    assert (await client.vector_stores.list()).data == []
    for call in (client.vector_stores.retrieve, client.vector_stores.delete):
        with pytest.raises(openai.NotFoundError):
            await call(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.search(made.id, query="sky")
    assert (await client.files.retrieve(file_id)).id == file_id


async def test_an_expired_store_says_so(client: openai.AsyncOpenAI, parts: Services) -> None:
    made = await client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
    with parts.database.session() as session:
        session.get_one(VectorStore, made.id).last_active_at = 1
    assert (await client.vector_stores.retrieve(made.id)).status == "expired"
    with pytest.raises(openai.BadRequestError) as caught:
        await client.vector_stores.search(made.id, query="sky")
    assert caught.value.code == "vector_store_expired"


async def test_use_keeps_a_store_alive(client: openai.AsyncOpenAI, parts: Services) -> None:
    made = await client.vector_stores.create()
    with parts.database.session() as session:
        session.get_one(VectorStore, made.id).last_active_at = 1
    await client.vector_stores.search(made.id, query="sky")
    used = await client.vector_stores.retrieve(made.id)
    assert used.last_active_at is not None
    assert used.last_active_at >= made.created_at


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"key": "x" * 513}}, "metadata.key"),
        ({"expires_after": {"anchor": "last_active_at", "days": 366}}, "expires_after.days"),
        ({"expires_after": {"anchor": "created_at", "days": 1}}, "expires_after.anchor"),
        ({"name": "nul\x00"}, "name"),
        ({"nonsense": 1}, "nonsense"),
        ({"chunking_strategy": {"type": "nonsense"}}, "chunking_strategy.type"),
        ({"chunking_strategy": {"type": "auto", "x": 1}}, "chunking_strategy.x"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_field_that_is_wrong_is_named(
    client: openai.AsyncOpenAI, body: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.vector_stores.create(extra_body=body)
    assert caught.value.param == param
    assert param in caught.value.message
