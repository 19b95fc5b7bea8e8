"""Passages per second through the document path, against the bare embedding model.

    python -m tests.benchmarks.ingestion_rate [--documents 200] [--rounds 3] [--corpus FILE.jsonl]
    python -m tests.benchmarks.ingestion_rate --base-url http://127.0.0.1:8000/v1

Without `--base-url` the pipeline runs in this process with the real loaders, chunker, embedding
model, Milvus Lite server and SQLite; with it, a running Everloop is driven by the `openai` client
(`file_batches`, uploads not counted). The other side is `SentenceTransformer.encode` on the very
passages that came out, on every core. Both sides alternate, round by round, in one run. `--corpus`
takes JSON lines with `text` (BEIR's form); otherwise documents are made of the sample corpus's
sentences. Prints a table and writes `tests/benchmarks/results/ingestion_rate.json`.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from rich.console import Console
from rich.table import Table

from cluster.client import key_for
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.models import ensure_model
from cluster.settings import load_settings

RESULTS: Final = Path(__file__).parent / "results" / "ingestion_rate.json"
BAR: Final = 0.85
SUFFIXES: Final = (".md", ".txt", ".html")


@dataclass(frozen=True)
class Measured:
    """One side of one round."""

    passages: int
    seconds: float

    @property
    def rate(self) -> float:
        """Passages per second."""
        return self.passages / self.seconds


Documents = list[tuple[str, bytes]]
"""(filename, bytes)"""


def main() -> None:
    """Alternate both sides and tell their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corpus", type=Path, help="JSON lines with `text`")
    parser.add_argument("--base-url", help="measure a running Everloop instead of this process")
    arguments = parser.parse_args()
    settings = load_settings()
    folder = ensure_model(settings.embedding.source, settings.cache_dir)
    encode = bare_model(folder)
    rounds = []
    for number in range(arguments.rounds):
        documents = make_documents(arguments.documents, arguments.corpus, seed=number)
        if arguments.base_url:
            ingested, texts = through_the_api(arguments.base_url, documents)
        else:
            ingested, texts = asyncio.run(in_this_process(folder, documents))
        rounds.append((ingested, encode(texts)))
        print(
            f"round {number + 1}: {ingested.rate:.1f} against {rounds[-1][1].rate:.1f} passages/s"
        )
    report(rounds, arguments.base_url or "in process", arguments.documents)


def bare_model(folder: Path) -> Callable[[Sequence[str]], Measured]:
    """`SentenceTransformer.encode` as anyone would call it."""
    import torch
    from sentence_transformers import SentenceTransformer

    model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)

    def encode(texts: Sequence[str]) -> Measured:
        torch.set_num_threads(os.cpu_count() or 1)
        started = time.perf_counter()
        model.encode(list(texts), normalize_embeddings=True)
        return Measured(len(texts), time.perf_counter() - started)

    encode(["warm up"])
    return encode


def make_documents(count: int, corpus: Path | None, seed: int) -> Documents:
    """Documents of 5 to 120 sentences, in turns Markdown, text and HTML; no two alike."""
    chance = random.Random(seed)
    if corpus:
        rows = [json.loads(line) for line in corpus.read_text().splitlines()]
        texts = [row["text"] for row in chance.sample(rows, min(count, len(rows)))]
    else:
        sentences = sample_sentences()
        texts = [
            " ".join(chance.choices(sentences, k=chance.choice((5, 10, 20, 40, 120))))
            for _ in range(count)
        ]
    return [
        (f"{seed}-{number}{SUFFIXES[number % 3]}", _as_file(text, number))
        for number, text in enumerate(texts)
    ]


def _as_file(text: str, number: int) -> bytes:
    title = f"Document {number}"
    match SUFFIXES[number % 3]:
        case ".md":
            return f"# {title}\n\n{text}\n".encode()
        case ".html":
            return f"<html><body><h1>{title}</h1><p>{text}</p></body></html>".encode()
        case _:
            return f"{title}\n\n{text}\n".encode()


def sample_sentences() -> list[str]:
    """The sentences of the sample corpus that the repository carries."""
    from ingestion.loaders import load_document
    from ingestion.sentences import sentence_spans

    folder = Path(__file__).parents[2] / "ingestion" / "samples"
    texts = [
        load_document(path, path.name).text
        for path in sorted(folder.iterdir())
        if path.suffix in {".md", ".html", ".docx"}
    ]
    spans = [text[start:end] for text in texts for start, end in sentence_spans(text)]
    return [sentence for sentence in spans if 40 <= len(sentence) <= 400]


async def in_this_process(folder: Path, documents: Documents) -> tuple[Measured, list[str]]:
    """The Ingestor's plain classes, from queued rows to completed ones."""
    from tokenizers import Tokenizer

    from cluster.database import Database
    from cluster.milvus import MilvusLiteServer
    from cluster.storage import ByteStore
    from deployments.embedder.embedder import Embedder
    from deployments.ingestor.ingestor import Ingestor
    from ingestion.embedding import EmbeddingModel
    from ingestion.index import PassageIndex
    from ingestion.ledger import Ledger
    from ingestion.parsing import LocalParser
    from ingestion.pipeline import Chunker, DocumentPipeline
    from ingestion.sweeping import Sweeper
    from tests.fixtures.system import free_port

    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        server = MilvusLiteServer(work / "milvus", free_port(), log_file=work / "milvus.log")
        server.start()
        try:
            model = EmbeddingModel(folder)
            model.encode(["warm up"])
            embedding = load_settings().embedding
            embedder = _Recorder(
                Embedder(
                    model,
                    batch_tokens=embedding.batch_tokens,
                    max_queued_texts=embedding.max_queued_texts,
                )
            )
            index = PassageIndex(server.uri, "passages", model.dimension)
            index.ensure()
            database = Database(f"sqlite:///{work / 'everloop.db'}")
            database.migrate()
            storage = ByteStore(f"file://{work / 'bytes'}")
            ledger = Ledger(database)
            pipeline = DocumentPipeline(
                ledger,
                storage,
                LocalParser(storage),
                Chunker(Tokenizer.from_file(str(folder / "tokenizer.json"))),
                embedder,
                index,
            )
            ingestor = Ingestor(ledger, pipeline, Sweeper(ledger, storage, index))
            store = _store(database)
            _queue(database, storage, store, documents)
            started = time.perf_counter()
            await ingestor.drain()
            seconds = time.perf_counter() - started
            outcomes = (await ingestor.stats()).outcomes
            stored = await asyncio.to_thread(index.count, DEFAULT_PROJECT, store)
            if outcomes != {"completed": len(documents)} or stored != len(embedder.texts):
                raise SystemExit(f"Not every document was completed: {outcomes}, {stored} stored.")
            database.close()
            embedder.close()
            return Measured(stored, seconds), embedder.texts
        finally:
            server.stop()


class _Recorder:
    """An Embedder that remembers the passages it was given."""

    def __init__(self, embedder: Any) -> None:
        self._embedder = embedder
        self.texts: list[str] = []

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> Any:
        self.texts += texts
        return await self._embedder.embed(texts, priority=priority)

    def close(self) -> None:
        self._embedder.close()


def _store(database: Any) -> str:
    from cluster.records import VectorStore

    with database.session() as session:
        row = VectorStore(id=new_id("vs"))
        session.add(row)
    return row.id


def _queue(database: Any, storage: Any, store_id: str, documents: Documents) -> None:
    from cluster.records import StoredFile, VectorStoreFile

    with database.session() as session:
        for filename, data in documents:
            file_id = new_id("file")
            written = storage.put(f"files/{file_id}", [data])
            session.add(
                StoredFile(
                    id=file_id,
                    filename=filename,
                    purpose="assistants",
                    bytes=written.size,
                    sha256=hashlib.sha256(data).hexdigest(),
                    storage_key=f"files/{file_id}",
                )
            )
            session.flush()
            session.add(
                VectorStoreFile(
                    store_id=store_id,
                    file_id=file_id,
                    document_key=filename,
                    filename=filename,
                    chunking={"type": "auto"},
                )
            )


def through_the_api(base_url: str, documents: Documents) -> tuple[Measured, list[str]]:
    """A file batch through a running Everloop, from its creation until it is completed."""
    import openai

    client = openai.OpenAI(base_url=base_url, api_key=key_for(base_url) or "none", timeout=600)
    store = client.vector_stores.create(name="ingestion-rate")
    ids = [client.files.create(file=document, purpose="assistants").id for document in documents]
    started = time.perf_counter()
    batch = client.vector_stores.file_batches.create(store.id, file_ids=ids)
    while batch.status == "in_progress":
        time.sleep(0.1)
        batch = client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    seconds = time.perf_counter() - started
    if batch.file_counts.completed != len(documents):
        raise SystemExit(f"Not every document was completed: {batch.file_counts}.")
    texts = [
        part.text or ""
        for file_id in ids
        for part in client.vector_stores.files.content(file_id, vector_store_id=store.id)
    ]
    client.vector_stores.delete(store.id)
    for file_id in ids:
        client.files.delete(file_id)
    return Measured(len(texts), seconds), texts


def report(rounds: list[tuple[Measured, Measured]], how: str, documents: int) -> None:
    """Print the table and write the JSON."""
    table = Table(title=f"Ingestion of {documents} documents, {how}")
    for column in ("round", "passages", "document path /s", "bare model /s", "ratio"):
        table.add_column(column, justify="right")
    ratios = []
    for number, (ingested, bare) in enumerate(rounds, 1):
        ratios.append(ingested.rate / bare.rate)
        table.add_row(
            str(number),
            str(ingested.passages),
            f"{ingested.rate:.1f}",
            f"{bare.rate:.1f}",
            f"{ratios[-1]:.2f}",
        )
    ratio = statistics.median(ratios)
    console = Console()
    console.print(table)
    console.print(
        f"median ratio {ratio:.2f}; the bar is {BAR}: {'met' if ratio >= BAR else 'missed'}"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    body = {
        "how": how,
        "documents": documents,
        "cpus": os.cpu_count(),
        "rounds": [
            {
                "passages": ingested.passages,
                "document_path_per_s": round(ingested.rate, 2),
                "bare_model_per_s": round(bare.rate, 2),
            }
            for ingested, bare in rounds
        ],
        "median_ratio": round(ratio, 3),
        "bar": BAR,
    }
    RESULTS.write_text(json.dumps(body, indent=1) + "\n")


if __name__ == "__main__":
    main()
