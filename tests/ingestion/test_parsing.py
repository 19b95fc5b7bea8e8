"""Parsers in processes of their own: what hangs, dies or hoards costs its own file only."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from cluster.storage import ByteStore
from ingestion.errors import DocumentError
from ingestion.parsing import LocalParser, ParserDiedError, ParserPool, ParserWorker
from ingestion.stored_text import dump_document, parse_document
from tests.fixtures.ray_cluster import SharedRay
from tests.ingestion.documents import pdf

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIMEOUT_S = 30.0  # a busy machine needs seconds for the good ones
FILES = {
    "good.md": b"# Bridges\n\nThe bridge opened in 1932. It carries eight lanes of traffic.\n",
    "hangs.md": b"hang",
    "dies.md": b"die",
    "hoards.md": b"hoard",
    "empty.md": b"",
}


class StubbornWorker(ParserWorker):
    """A worker that does to itself what its file says, where a bad parser would."""

    def parse(self, storage_key: str, filename: str) -> bytes:
        match self._storage.read(storage_key):
            case b"hang":
                time.sleep(3600)
            case b"die":
                os._exit(1)
        return super().parse(storage_key, filename)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> ByteStore:
    store = ByteStore(f"file://{tmp_path_factory.mktemp('storage')}")
    for key, data in FILES.items():
        store.put(key, [data])
    return store


@pytest.fixture(scope="module")
def ray_here(shared_ray: SharedRay) -> Iterator[None]:
    """A Ray that this process has joined."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # so that no worker imports tests
    with shared_ray.joined("parsing"):
        yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(ray_here: None, storage: ByteStore) -> AsyncIterator[ParserPool]:
    """One for all tests: a parser takes seconds to start, and a broken one is replaced."""
    made = ParserPool(
        storage.url, size=1, timeout_s=TIMEOUT_S, memory_mib=512, worker_class=StubbornWorker
    )
    made.start()
    yield made
    made.close()


async def test_a_local_parser_reads_what_is_stored(storage: ByteStore) -> None:
    document = await LocalParser(storage).parse("good.md", "good.md")
    assert "eight lanes" in document.text


async def test_a_stored_text_reads_back_as_it_was(storage: ByteStore) -> None:
    storage.put("paper.pdf", [pdf([("Heading1", "Title"), ("BodyText", "Naïve café — ﬁne.")])])
    document = await LocalParser(storage).parse("paper.pdf", "paper.pdf")
    assert parse_document(dump_document(document)) == document


@pytest.mark.integration
async def test_a_file_is_parsed_in_another_process(pool: ParserPool) -> None:
    document = await pool.parse("good.md", "good.md")
    assert document.blocks[0].kind == "title"
    with pytest.raises(DocumentError):
        await pool.parse("empty.md", "empty.md")


@pytest.mark.integration
async def test_a_file_that_hangs_is_given_up_and_the_next_goes_on(pool: ParserPool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pool, "_timeout_s", 0.5)
        with pytest.raises(DocumentError, match=r"'hangs.md' took longer than 0\.5 s"):
            await pool.parse("hangs.md", "hangs.md")
    assert (await pool.parse("good.md", "good.md")).blocks


@pytest.mark.integration
async def test_a_parser_that_dies_is_replaced(pool: ParserPool) -> None:
    first, second = await asyncio.gather(
        pool.parse("dies.md", "dies.md"), pool.parse("good.md", "good.md"), return_exceptions=True
    )
    assert isinstance(first, ParserDiedError)
    assert not isinstance(second, BaseException)


@pytest.mark.integration
async def test_a_caller_that_gives_up_leaves_no_busy_parser(pool: ParserPool) -> None:
    await pool.parse("good.md", "good.md")
    task = asyncio.create_task(pool.parse("hangs.md", "hangs.md"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await pool.parse("good.md", "good.md")).blocks
