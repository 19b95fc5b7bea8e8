"""What a command makes is made once, also where the answer was lost on its way."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from sqlalchemy import func, select

from cluster import client as clients
from cluster.cli import ingest
from cluster.client import openai_client
from cluster.database import Database
from cluster.records import StoredFile, VectorStore, VectorStoreFile
from cluster.settings import Settings
from tests.fakes.parts import FakeIngestor
from tests.fixtures.databases import database
from tests.fixtures.gateway import Gateway, running_gateway

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["database"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path, database) as running:
        yield running


class Losing:
    """A client whose first answer to every POST is lost after the server gave it."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, str | None]] = []

    def __call__(self, base_url: str, **options: Any) -> "OpenAI":
        import httpx2

        client = openai_client(base_url, **options)
        send, lost = client._client.send, set()

        def losing(request: Any, **named: Any) -> Any:
            answer = send(request, **named)
            path = request.url.path
            self.sent.append((request.method, path, request.headers.get("idempotency-key")))
            if request.method == "POST" and path not in lost:
                lost.add(path)
                answer.read()
                raise httpx2.ReadError("lost", request=request)
            return answer

        client._client.send = losing  # type: ignore[method-assign]
        return client


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Losing:
    made = Losing()
    monkeypatch.setattr(ingest, "openai_client", made)
    monkeypatch.setattr(clients, "openai_client", made)
    return made


def test_an_ingestion_whose_answers_are_lost_makes_everything_once(
    gateway: Gateway, losing: Losing, tmp_path: Path
) -> None:
    document = tmp_path / "notes.md"
    document.write_text("# Notes\n\nThe bridge opened in 1932.\n")
    ingestor = FakeIngestor(gateway.database, gateway.storage)
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.05):
            asyncio.run(ingestor.work())

    worker = threading.Thread(target=work)
    worker.start()
    try:
        _, outcomes, _ = ingest.ingest_documents(
            [str(document)],
            "notes",
            gateway.url,
            Settings(data_dir=tmp_path / "data"),
            Console(quiet=True),
        )
    finally:
        ended.set()
        worker.join()
    assert [outcome.status for outcome in outcomes] == ["completed"]
    with gateway.database.session(read_only=True) as session:
        made = [
            session.scalar(select(func.count()).select_from(table))
            for table in (StoredFile, VectorStore, VectorStoreFile)
        ]
    assert made == [1, 1, 1]


def test_each_request_that_may_make_something_has_a_key_of_its_own_for_all_its_tries(
    gateway: Gateway, losing: Losing
) -> None:
    with clients.connected(gateway.url) as client:
        for _ in range(2):
            client.with_options(timeout=30).vector_stores.create(name="one")
        client.vector_stores.list()
    posts = [key for method, _, key in losing.sent if method == "POST"]
    assert len(posts) == 3
    assert posts[0] == posts[1] != posts[2]
    assert None not in posts
    assert [key for method, _, key in losing.sent if method == "GET"] == [None]
    with gateway.database.session(read_only=True) as session:
        assert session.scalar(select(func.count()).select_from(VectorStore)) == 2
