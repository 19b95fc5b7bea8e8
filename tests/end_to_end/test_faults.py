"""Parts are killed in the middle of work; the system recovers by itself and loses nothing.

These run last: while a model replica comes back, nothing else could be tested.
"""

import io
from collections.abc import Callable
from typing import Any

import openai
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.records import VectorStoreFile
from cluster.settings import Settings, resolve_settings
from ingestion.index import PassageIndex, collection_name
from tests.end_to_end.test_documents import MODEL, QUESTION, lighthouse, upload
from tests.fixtures.faults import kill, processes_of, until
from tests.fixtures.system import System

pytestmark = [pytest.mark.end_to_end]

DOCUMENTS = 20


def queue(client: openai.OpenAI, store: str, count: int) -> dict[str, str]:
    """Attach `count` documents in one batch; returns the fact of each by file id."""
    facts: dict[str, str] = {}
    for number in range(count):
        word = f"Zephyr{number:03d}"
        text = f"The password of room {number} is {word}. " * 40
        made = client.files.create(
            file=(f"room-{number}.txt", io.BytesIO(text.encode())), purpose="assistants"
        )
        facts[made.id] = word
    client.vector_stores.file_batches.create(store, file_ids=list(facts))
    return facts


def live(settings: Settings, store: str) -> dict[str, VectorStoreFile]:
    """The records of a store's live documents, by file id."""
    database = Database(settings.database_url, pool_size=1)
    found = select(VectorStoreFile).where(VectorStoreFile.store_id == store, VectorStoreFile.live)
    try:
        with database.session(read_only=True) as session:
            return {row.file_id: row for row in session.scalars(found)}
    finally:
        database.close()


def all_completed(client: openai.OpenAI, store: str) -> bool:
    counts = client.vector_stores.retrieve(store).file_counts
    return counts.in_progress == 0 and counts.completed == counts.total


@pytest.mark.parametrize("victim", ["ServeReplica:everloop:Ingestor", "milvus", "ParserWorker"])
def test_a_part_of_the_document_path_is_killed_at_work(
    client: openai.OpenAI, system: System, store: str, victim: str
) -> None:
    """The Embedder, which is on this path too, is what the drill of `test_drills.py` kills."""
    settings, _ = resolve_settings(environ=system.environment)
    before = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    facts = queue(client, store, DOCUMENTS)
    until(lambda: client.vector_stores.retrieve(store).file_counts.completed >= 2, 60)
    kill(system.data_dir, victim)
    done = live(settings, store)
    assert len(done) <= DOCUMENTS, "it was killed after its work"

    until(lambda: all_completed(client, store), 180)

    assert client.vector_stores.retrieve(store).file_counts.completed == len(facts) + 1
    rows = live(settings, store)
    assert rows.keys() == {before.id, *facts}
    assert {rows[file_id].attempts for file_id in done} == {1}, "what was done was done again"
    place = collection_name(settings.embedding.id, 384)
    index = PassageIndex(settings.milvus_uri, place, 384, token=settings.milvus.token)
    assert index.count(DEFAULT_PROJECT, store) == sum(row.passages for row in rows.values())
    found = until(lambda: client.vector_stores.search(store, query=QUESTION).data, 60)
    assert found[0].file_id == before.id
    for file_id, word in list(facts.items())[::7]:
        hits = client.vector_stores.search(store, query=f"password {word}").data
        assert file_id in {hit.file_id for hit in hits}, f"{word} is lost"


def test_an_answer_outlives_its_killed_replica_which_comes_back(
    client: openai.OpenAI, system: System
) -> None:
    """The one replica is killed: the stream waits for the next one, and goes on there."""

    def ask(then: Callable[[], None]) -> tuple[Any, str]:
        """The answer (text, end, usage) and its trace; `then` is called once it has begun."""
        text, reason, usage, pieces = "", None, None, 0
        raw = client.with_options(
            max_retries=0, timeout=300
        ).chat.completions.with_raw_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Name the months of the year, one a line."}],
            max_tokens=256,
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in raw.parse():
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
                pieces += 1
            if pieces == 8:
                then()
                pieces += 1
        return (text, reason, usage), raw.headers["x-trace-id"]

    def trace(trace_id: str) -> Any:
        return client.get(f"/traces/{trace_id}", cast_to=object)

    undisturbed, trace_id = ask(lambda: None)
    assert "resumed" not in until(lambda: trace(trace_id), 30)
    # Looked for before: a quick machine has answered by the time that it is found.
    (victim,) = processes_of(system.data_dir, "ServeReplica:everloop:Model")
    answer, trace_id = ask(victim.kill)
    assert answer == undisturbed
    assert len(until(lambda: trace(trace_id), 30)["resumed"]) == 1, "it was killed after its answer"
    engines = processes_of(system.data_dir, "EngineCore")
    assert len(engines) == 1, "the engine of the killed replica still runs"


def test_the_command_line_asks_and_searches(system: System, client: openai.OpenAI) -> None:
    """Last of all, on the recovered system: what a person types."""
    client.vector_stores.create(name="cli")
    page = system.data_dir / "note.md"
    page.write_text("# Keys\n\nThe spare key hangs behind the green clock.\n")
    done = system.everloop("ingest", str(page), "--store", "cli")
    assert done.returncode == 0, done.stdout + done.stderr
    again = system.everloop("ingest", str(page), "--store", "cli")
    assert again.returncode == 0
    asked = system.everloop("ask", "Where does the spare key hang?", "--store", "cli")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert "green clock" in asked.stdout
    assert "note.md" in asked.stdout
    found = system.everloop("search", "spare key", "--store", "cli", "--json")
    assert "green clock" in found.stdout
