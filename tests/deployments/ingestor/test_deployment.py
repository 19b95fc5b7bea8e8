"""The Ingestor on a real Serve application, with the packaged embedding model and Milvus Lite."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.milvus import MilvusLiteServer
from cluster.models import ensure_model
from cluster.settings import load_settings
from deployments.embedder.deployment import build_embedder
from deployments.errors import RequestError
from deployments.handles import IngestorHandle
from deployments.ingestor.deployment import build_ingestor
from ingestion.index import PassageIndex, collection_name
from tests.fakes.document_path import DocumentPath
from tests.fixtures.ray_cluster import SharedRay
from tests.fixtures.system import free_port

pytestmark = pytest.mark.integration
FILES = 24


@pytest.fixture(scope="module")
def place(shared_ray: SharedRay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    from ray import serve

    folder = tmp_path_factory.mktemp("ingestor")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERLOOP_DATA_DIR", str(folder / "data"))
        patch.setenv("EVERLOOP_STORAGE__URL", f"file://{folder / 'bytes'}")
        patch.setenv("EVERLOOP_MILVUS__PORT", str(port))
        milvus = MilvusLiteServer(folder / "milvus", port, log_file=folder / "milvus.log")
        milvus.start()
        with shared_ray.joined("ingestor"):
            serve.start(proxy_location="Disabled")
            yield folder
            serve.shutdown()
        milvus.stop()


@pytest.fixture(scope="module")
def handle(place: Path) -> Any:
    from ray import serve

    settings = load_settings()
    database = Database(settings.database_url)
    database.migrate()
    database.close()
    folder = ensure_model(settings.embedding.source, settings.cache_dir)
    embedder = build_embedder(settings.embedding, folder)
    application = build_ingestor(settings, folder, embedder)
    return serve.run(application, name="documents", route_prefix=None)


@pytest.fixture
async def path(place: Path) -> AsyncIterator[DocumentPath]:
    database = Database(load_settings().database_url)
    yield DocumentPath(database, place)
    database.close()


async def completed(path: DocumentPath, numbers: list[int], least: int) -> None:
    """Wait until at least that many of the files are completed."""
    async with asyncio.timeout(120):
        while sum(path.row(n).stage == "completed" for n in numbers) < least:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def test_a_kill_of_the_ingestor_loses_no_file(handle: Any, path: DocumentPath) -> None:
    ingestor = IngestorHandle(handle)
    store = path.store()
    sentences = " ".join(f"Part {n} of the machine weighs {n} grams." for n in range(120))
    numbers = [path.attach(store, f"Copy {n}. {sentences}", f"{n}.md") for n in range(FILES)]
    await ingestor.wake()
    await completed(path, numbers, 1)
    os.kill((await handle.stats.remote())["pid"], signal.SIGKILL)
    before = [number for number in numbers if path.row(number).live]
    assert len(before) < FILES  # it was killed in the middle of work

    await completed(path, numbers, FILES)
    rows = [path.row(number) for number in numbers]
    settings = load_settings()
    index = PassageIndex(settings.milvus_uri, collection_name(settings.embedding.id, 384), 384)
    assert all(row.live for row in rows)
    assert all(path.row(number).attempts == 1 for number in before)
    assert index.count(DEFAULT_PROJECT, store) == sum(row.passages for row in rows)

    path.change(numbers[0], live=False, deleted_at=1)
    async with asyncio.timeout(60):
        while True:
            try:
                await ingestor.purge([numbers[0]])
                break
            except RequestError:  # it is starting anew
                await asyncio.sleep(0.2)
    assert index.count(DEFAULT_PROJECT, store, [numbers[0]]) == 0
