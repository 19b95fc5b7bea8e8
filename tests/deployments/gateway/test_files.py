"""`/v1/files`."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from sqlalchemy import select

from cluster.records import VectorStoreFile
from deployments.errors import Unavailable
from deployments.gateway.services import Services
from tests.deployments.gateway.conftest import upload
from tests.fakes.parts import FakeIngestor


def stored_files(parts: Services) -> list[Path]:
    folder = Path(parts.storage.url.removeprefix("file://"))
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_an_uploaded_file_comes_back_as_it_was(client: openai.AsyncOpenAI) -> None:
    data = bytes(range(256)) * 5000
    made = await client.files.create(file=("Grüße 日本.bin", data), purpose="user_data")
    assert made.object == "file"
    assert made.bytes == len(data)
    assert made.filename == "Grüße 日本.bin"
    assert made.purpose == "user_data"
    assert made.status == "processed"
    assert await client.files.retrieve(made.id) == made
    content = await client.files.content(made.id)
    assert content.read() == data


async def test_an_empty_file_is_a_file(client: openai.AsyncOpenAI) -> None:
    made = await client.files.create(file=("empty.txt", b""), purpose="assistants")
    assert made.bytes == 0
    assert (await client.files.content(made.id)).read() == b""


async def test_a_path_in_the_name_is_dropped(client: openai.AsyncOpenAI) -> None:
    made = await client.files.create(file=("../../etc/passwd", b"x"), purpose="user_data")
    assert made.filename == "passwd"


async def test_a_wrong_purpose_is_named_with_those_allowed(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.files.create(file=("a.txt", b"x"), purpose="nonsense")  # type: ignore[arg-type]
    assert caught.value.param == "purpose"
    assert "user_data" in caught.value.message


async def test_a_file_without_a_name_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/v1/files", files={"file": ("  ", b"x")}, data={"purpose": "user_data"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"


async def test_a_missing_file_part_is_named(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/files", files={"purpose": (None, "user_data")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"
    assert answer.json()["error"]["code"] == "missing_parameter"


async def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.files.create(file=("big", b"x" * (2 * 1024**2 + 1)), purpose="user_data")
    assert caught.value.status_code == 413
    assert stored_files(parts) == []


async def test_the_list_pages_through_every_file(client: openai.AsyncOpenAI) -> None:
    ids = [await upload(client, str(n)) for n in range(5)]
    page = await client.files.list(limit=2, order="asc")
    assert [file.id for file in page.data] == ids[:2]
    assert page.has_more
    assert [file.id async for file in client.files.list(limit=2, order="asc")] == ids
    assert [file.id async for file in client.files.list(limit=2)] == ids[::-1]


async def test_deleting_while_listing_reaches_every_file(client: openai.AsyncOpenAI) -> None:
    for n in range(5):
        await upload(client, str(n))
    async for file in client.files.list(limit=2):
        await client.files.delete(file.id)
    assert (await client.files.list()).data == []


async def test_the_list_filters_by_purpose(client: openai.AsyncOpenAI) -> None:
    await upload(client, "x")
    made = await client.files.create(file=("b.jsonl", b"{}"), purpose="batch")
    assert [file.id for file in (await client.files.list(purpose="batch")).data] == [made.id]


async def test_a_deleted_file_is_gone_with_its_bytes(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    file_id = await upload(client, "x")
    key = f"proj_default/{file_id}"
    assert parts.storage.exists(key)
    deleted = await client.files.delete(file_id)
    assert (deleted.id, deleted.object, deleted.deleted) == (file_id, "file", True)
    assert not parts.storage.exists(key)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            await call(file_id)


@pytest.mark.parametrize("ingestor_is_down", [False, True])
async def test_a_deleted_file_is_found_no_more_in_any_store(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor, *, ingestor_is_down: bool
) -> None:
    file_id = await upload(client, "The sky is blue.")
    stores = [await client.vector_stores.create(file_ids=[file_id]) for _ in range(2)]
    await ingestor.work()
    for store in stores:
        assert (await client.vector_stores.search(store.id, query="sky")).data
    if ingestor_is_down:
        ingestor.failure = Unavailable("The Ingestor is restarting.")
    await client.files.delete(file_id)
    for store in stores:
        assert (await client.vector_stores.search(store.id, query="sky")).data == []
        assert (await client.vector_stores.files.list(store.id)).data == []
    assert len(ingestor.purged) == (0 if ingestor_is_down else 2)


async def test_an_expired_file_is_gone(client: openai.AsyncOpenAI, parts: Services) -> None:
    from cluster.records import StoredFile

    made = await client.files.create(
        file=("a.txt", b"x"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert made.expires_at == made.created_at + 3600
    with parts.database.session() as session:
        session.get_one(StoredFile, made.id).expires_at = 1
    with pytest.raises(openai.NotFoundError):
        await client.files.retrieve(made.id)
    assert (await client.files.list()).data == []


async def test_an_expiry_out_of_range_is_named(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.files.create(
            file=("a.txt", b"x"),
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 1},
        )
    assert caught.value.param == "expires_after.seconds"


@pytest.mark.parametrize("ingestor_is_down", [False, True])
async def test_a_deletion_says_what_went_and_what_follows(
    client: openai.AsyncOpenAI, ingestor: FakeIngestor, parts: Services, *, ingestor_is_down: bool
) -> None:
    told: list[object] = []
    object.__setattr__(parts, "note_deletion", lambda kind, ids: told.append((kind, ids)))
    file_id = await upload(client, "The sky is blue.")
    store = await client.vector_stores.create(file_ids=[file_id])
    await ingestor.work()
    if ingestor_is_down:
        ingestor.failure = Unavailable("The Ingestor is restarting.")
    detached = await client.vector_stores.files.delete(file_id, vector_store_id=store.id)
    gone = "soon" if ingestor_is_down else "now"
    report = (detached.model_extra or {})["report"]
    assert (report["documents"], report["passages"], report["passages_gone"]) == (1, 1, gone)
    assert (report["bytes"], told) == (0, []), "the file itself stays"
    deleted = await client.files.delete(file_id)
    report = (deleted.model_extra or {})["report"]
    assert (report["documents"], report["bytes"]) == (0, len("The sky is blue."))
    assert (report["quotes_gone"], told) == ("soon", [("file", [file_id])])
    with parts.database.session() as session:
        assert all(session.scalars(select(VectorStoreFile.forget_at)).all())


@pytest.mark.parametrize(
    ("parts_of_form", "said"),
    [
        ([("file", ("a.txt", b"x")), ("file", ("b.txt", b"x"))], "Too many files"),
        ([("file", ("a.txt", b"x")), ("other", ("b.txt", b"x"))], "Too many files"),
        ([(f"field-{n}", (None, b"x")) for n in range(40)], "Too many fields"),
        ([("purpose", (None, b"x" * 70_000))], "maximum size"),
    ],
)
async def test_a_form_has_one_file_and_a_few_short_fields(
    http: httpx2.AsyncClient, parts_of_form: list[Any], said: str
) -> None:
    """A thousand parts of a mebibyte would stand in memory, one file goes to the disk."""
    form = [("purpose", (None, b"user_data")), *parts_of_form]
    answer = await http.post("/v1/files", files=form)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert said in error["message"]
    assert (await http.get("/v1/files")).json()["data"] == []
