"""`/v1/vector_stores/{id}/files` and `/file_batches`."""

import asyncio

import openai
import pytest

from cluster.records import VectorStoreFile
from deployments.gateway.services import Services
from tests.deployments.gateway.conftest import upload
from tests.fakes.parts import FakeIngestor


async def test_an_attached_file_is_openais_object_and_ours(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "One.\n\nTwo.")
    queued = await client.vector_stores.files.create(
        store.id, file_id=file_id, attributes={"year": 2024.5, "draft": True, "by": "Ada"}
    )
    assert queued.id == file_id
    assert queued.object == "vector_store.file"
    assert queued.status == "in_progress"
    assert queued.attributes == {"year": 2024.5, "draft": True, "by": "Ada"}
    extra = queued.model_extra or {}
    assert (extra["stage"], extra["progress"], extra["filename"]) == ("queued", 0, "notes.txt")
    await ingestor.work()
    done = await client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
    assert done.status == "completed"
    assert done.usage_bytes == 10
    assert done.last_error is None
    assert (done.model_extra or {})["passages"] == 2
    assert (done.model_extra or {})["progress"] == 1


async def test_a_failed_file_says_why(client: openai.AsyncOpenAI, ingestor: FakeIngestor) -> None:
    file_id = await upload(client, "")
    store = await client.vector_stores.create(file_ids=[file_id])
    await ingestor.work()
    failed = await client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert failed.last_error.code == "invalid_file"
    assert failed.last_error.message == "The file is empty."
    assert (failed.model_extra or {})["failed_stage"] == "parsing"


async def test_create_and_poll_ends(client: openai.AsyncOpenAI, ingestor: FakeIngestor) -> None:
    store = await client.vector_stores.create()

    async def work() -> None:
        await ingestor.woken.wait()
        await ingestor.work()

    working = asyncio.create_task(work())
    done = await client.vector_stores.files.upload_and_poll(
        vector_store_id=store.id, file=("a.txt", b"The sky is blue."), poll_interval_ms=10
    )
    await working
    assert done.status == "completed"


async def test_attaching_twice_gives_the_same_row(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    for _ in range(2):
        await client.vector_stores.files.create(store.id, file_id=file_id)
    assert len((await client.vector_stores.files.list(store.id)).data) == 1


async def test_attaching_at_the_same_time_gives_one_row(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    await asyncio.gather(
        *(client.vector_stores.files.create(store.id, file_id=file_id) for _ in range(8))
    )
    assert len((await client.vector_stores.files.list(store.id)).data) == 1


async def test_a_failed_file_can_be_attached_again(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    file_id = await upload(client, "")
    store = await client.vector_stores.create(file_ids=[file_id])
    await ingestor.work()
    again = await client.vector_stores.files.create(store.id, file_id=file_id)
    assert again.status == "in_progress"
    assert len((await client.vector_stores.files.list(store.id)).data) == 1


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({}, "notes.txt"),
        ({"attributes": {"source": "handbook"}}, "handbook"),
        ({"on_same_name": "keep"}, None),
    ],
)
async def test_a_document_is_known_by_its_source_or_name(
    client: openai.AsyncOpenAI, parts: Services, body: dict[str, object], key: str | None
) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    await client.vector_stores.files.create(store.id, file_id=file_id, extra_body=body)
    with parts.database.session() as session:
        assert session.get_one(VectorStoreFile, 1).document_key == (key or file_id)


async def test_the_list_pages_and_filters(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    store = await client.vector_stores.create()
    ids = [await upload(client, text) for text in ("one", "", "three")]
    for file_id in ids:
        await client.vector_stores.files.create(store.id, file_id=file_id)
    listing = client.vector_stores.files
    assert [file.id async for file in listing.list(store.id, limit=1)] == ids[::-1]
    assert [file.id async for file in listing.list(store.id, filter="in_progress")] == ids[::-1]
    await ingestor.work()
    assert [file.id async for file in listing.list(store.id, filter="failed")] == [ids[1]]
    done = await listing.list(store.id, filter="completed", order="asc")
    assert [file.id for file in done.data] == [ids[0], ids[2]]


async def test_a_cursor_that_never_was_is_named(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    with pytest.raises(openai.BadRequestError) as caught:
        await client.vector_stores.files.list(store.id, after="file-missing")
    assert caught.value.param == "after"


async def test_attributes_can_be_replaced(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    await client.vector_stores.files.create(store.id, file_id=file_id, attributes={"a": "b"})
    changed = await client.vector_stores.files.update(
        file_id, vector_store_id=store.id, attributes={"c": 1.0}
    )
    assert changed.attributes == {"c": 1.0}


@pytest.mark.parametrize(
    ("attributes", "param"),
    [
        ({str(n): "x" for n in range(17)}, "attributes"),
        ({"k" * 65: "x"}, "attributes"),
        ({"key": "x" * 513}, "attributes.key"),
        ({"key": ["x"]}, "attributes.key"),
        ({"key": None}, "attributes.key"),
    ],
)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_attributes_have_openais_limits(
    client: openai.AsyncOpenAI, attributes: dict[str, object], param: str
) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.vector_stores.files.create(
            store.id, file_id=file_id, extra_body={"attributes": attributes}
        )
    assert str(caught.value.param).startswith(param)


async def test_a_detached_file_is_found_no_more_and_stays_a_file(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    file_id = await upload(client, "The sky is blue.")
    store = await client.vector_stores.create(file_ids=[file_id])
    await ingestor.work()
    deleted = await client.vector_stores.files.delete(file_id, vector_store_id=store.id)
    assert (deleted.id, deleted.object) == (file_id, "vector_store.file.deleted")
    assert ingestor.purged == [1]
    assert (await client.vector_stores.search(store.id, query="sky")).data == []
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
    assert (await client.files.retrieve(file_id)).id == file_id


async def test_the_content_is_the_passages_in_order(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    file_id = await upload(client, "One.\n\nTwo.")
    store = await client.vector_stores.create(file_ids=[file_id])
    with pytest.raises(openai.BadRequestError):
        await client.vector_stores.files.content(file_id, vector_store_id=store.id)
    await ingestor.work()
    page = await client.vector_stores.files.content(file_id, vector_store_id=store.id)
    assert [item.text for item in page.data] == ["One.", "Two."]


async def test_a_full_store_says_what_it_holds(client: openai.AsyncOpenAI) -> None:
    store = await client.vector_stores.create(
        file_ids=[await upload(client, str(n), f"{n}.txt") for n in range(5)]
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await client.vector_stores.files.create(store.id, file_id=await upload(client, "x"))
    assert caught.value.code == "vector_store_full"
    assert "5" in caught.value.message


async def test_a_batch_counts_its_files(client: openai.AsyncOpenAI, ingestor: FakeIngestor) -> None:
    store = await client.vector_stores.create()
    ids = [await upload(client, text, f"{n}.txt") for n, text in enumerate(("one", "", "three"))]
    batches = client.vector_stores.file_batches
    made = await batches.create(store.id, file_ids=ids)
    assert made.object == "vector_store.files_batch"
    assert (made.status, made.file_counts.in_progress) == ("in_progress", 3)
    await ingestor.work()
    done = await batches.poll(made.id, vector_store_id=store.id)
    assert done.status == "completed"
    assert (done.file_counts.completed, done.file_counts.failed) == (2, 1)
    listed = await batches.list_files(made.id, vector_store_id=store.id, filter="failed")
    assert [file.id for file in listed.data] == [ids[1]]


async def test_a_batch_whose_files_all_fail_has_failed(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    store = await client.vector_stores.create()
    made = await client.vector_stores.file_batches.create(
        store.id, file_ids=[await upload(client, "")]
    )
    await ingestor.work()
    done = await client.vector_stores.file_batches.retrieve(made.id, vector_store_id=store.id)
    assert done.status == "failed"


async def test_files_of_a_batch_may_have_their_own_attributes(
    client: openai.AsyncOpenAI,
) -> None:
    store = await client.vector_stores.create()
    ids = [await upload(client, "x", f"{n}.txt") for n in range(2)]
    await client.vector_stores.file_batches.create(
        store.id,
        files=[{"file_id": ids[0], "attributes": {"n": 0}}, {"file_id": ids[1]}],
    )
    files = await client.vector_stores.files.list(store.id, order="asc")
    assert [file.attributes for file in files.data] == [{"n": 0}, {}]


async def test_a_cancelled_batch_stops_what_is_not_done(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor
) -> None:
    store = await client.vector_stores.create()
    done_id = await upload(client, "x", "done.txt")
    batches = client.vector_stores.file_batches
    first = await batches.create(store.id, file_ids=[done_id])
    await ingestor.work()
    second = await batches.create(store.id, file_ids=[await upload(client, "x", "new.txt")])
    cancelled = await batches.cancel(second.id, vector_store_id=store.id)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", 1)
    await ingestor.work()
    assert [file.id for file in (await client.vector_stores.files.list(store.id)).data][1:] == [
        done_id
    ]
    assert (await batches.retrieve(first.id, vector_store_id=store.id)).status == "completed"


async def test_a_batch_ends_when_its_last_open_file_is_detached(
    client: openai.AsyncOpenAI,
) -> None:
    store = await client.vector_stores.create()
    file_id = await upload(client, "x")
    made = await client.vector_stores.file_batches.create(store.id, file_ids=[file_id])
    await client.vector_stores.files.delete(file_id, vector_store_id=store.id)
    ended = await client.vector_stores.file_batches.retrieve(made.id, vector_store_id=store.id)
    assert ended.status == "completed"
    assert ended.file_counts.cancelled == 1


@pytest.mark.parametrize("body", [{}, {"file_ids": ["file-1"], "files": [{"file_id": "file-1"}]}])
async def test_a_batch_needs_files_in_one_way(
    client: openai.AsyncOpenAI, body: dict[str, object]
) -> None:
    store = await client.vector_stores.create()
    with pytest.raises(openai.BadRequestError, match="Exactly one of file_ids and files"):
        await client.vector_stores.file_batches.create(store.id, extra_body=body)


async def test_a_batch_of_another_store_is_not_found(client: openai.AsyncOpenAI) -> None:
    stores = [await client.vector_stores.create() for _ in range(2)]
    made = await client.vector_stores.file_batches.create(
        stores[0].id, file_ids=[await upload(client, "x")]
    )
    with pytest.raises(openai.NotFoundError):
        await client.vector_stores.file_batches.retrieve(made.id, vector_store_id=stores[1].id)
