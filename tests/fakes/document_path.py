"""The document path with everything small: plain text, one word a token, vectors from words."""

import asyncio
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from cluster.database import Database
from cluster.errors import StorageError
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import FileBatch, StoredFile, VectorStore, VectorStoreFile
from cluster.storage import ByteStore
from deployments.errors import Unavailable
from deployments.ingestor.ingestor import Ingestor
from ingestion.errors import DocumentError
from ingestion.ledger import Ledger
from ingestion.outages import Patience
from ingestion.passages import Block, ParsedDocument
from ingestion.pipeline import Chunker, DocumentPipeline
from ingestion.stored_text import text_key
from ingestion.sweeping import Sweeper
from tests.fakes.parts import FakeEmbedder
from tests.fakes.passage_index import MemoryIndex

__all__ = ["CountingEmbedder", "DocumentPath", "ParagraphParser"]


class ParagraphParser:
    """UTF-8 text whose paragraphs are blocks. `failures` are raised first, in order."""

    def __init__(self, storage: ByteStore) -> None:
        self._storage = storage
        self.failures: list[Exception] = []
        self.parsed = 0

    async def parse(self, storage_key: str, filename: str) -> ParsedDocument:
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop(0)
        try:
            text = self._storage.read(storage_key).decode()
        except UnicodeDecodeError as error:
            raise DocumentError(f"{filename!r} is not text.", code="unsupported_file") from error
        self.parsed += 1
        blocks, position = [], 0
        for paragraph in text.split("\n\n"):
            if paragraph.strip():
                blocks.append(Block("text", position, position + len(paragraph), page=1))
            position += len(paragraph) + 2
        return ParsedDocument(text, tuple(blocks), language="en", pages=1, mime="text/plain")


@dataclass
class CountingEmbedder(FakeEmbedder):
    """Counts calls, and holds them while `gate` is closed. `down` calls find it away."""

    calls: int = 0
    down: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def embed(self, texts: Any, *, priority: Any = "query") -> Any:
        assert priority == "bulk"
        self.calls += 1
        self.reached.set()
        await self.gate.wait()
        if self.down > 0:
            self.down -= 1
            raise Unavailable("The Embedder restarts.")
        await asyncio.sleep(0.001)
        return await super().embed(texts, priority=priority)


class DocumentPath:
    """A database, a byte store and the plain classes over them; a crash keeps only the former."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.storage = ByteStore(f"file://{folder / 'bytes'}")
        self.index = MemoryIndex()
        self.now = 1_000_000.0
        self.pauses: list[float] = []
        self.restart()

    def restart(self) -> None:
        """Make the process's objects anew, as after kill -9."""
        self.parser = ParagraphParser(self.storage)
        self.embedder = CountingEmbedder()
        self.ledger = Ledger(self.database, lease_s=15, clock=lambda: self.now)
        self.pipeline = DocumentPipeline(
            self.ledger,
            self.storage,
            self.parser,
            Chunker(_tokenizer()),
            self.embedder,
            self.index,
            outages=(Unavailable,),
            patience_s=2.0,
        )
        for name in ("_milvus", "_records", "_bytes", "_vectors"):
            setattr(self.pipeline, name, self._impatient(getattr(self.pipeline, name)))
        self.ingestor = self.make_ingestor()

    def make_ingestor(self, max_files: int = 8, *, alone_s: float = 60.0) -> Ingestor:
        """An Ingestor over the present parts."""
        return Ingestor(
            self.ledger,
            self.pipeline,
            Sweeper(self.ledger, self.storage, self.index),
            max_files=max_files,
            poll_s=0.02,
            alone_s=alone_s,
        )

    def store(self, **values: Any) -> str:
        """A vector store."""
        with self.database.session() as session:
            row = VectorStore(id=new_id("vs"), **values)
            session.add(row)
        return row.id

    def batch(self, store_id: str) -> str:
        """A file batch."""
        with self.database.session() as session:
            row = FileBatch(id=new_id("vsfb"), store_id=store_id)
            session.add(row)
        return row.id

    def attach(
        self, store_id: str, text: str | bytes, filename: str = "a.txt", **values: Any
    ) -> int:
        """Upload and queue a document; returns its number."""
        sentences = {"type": "sentence", "sentence": {"max_chunk_size_tokens": 32}}
        data = text.encode() if isinstance(text, str) else text
        file_id = new_id("file")
        self.storage.put(f"files/{file_id}", [data])
        with self.database.session() as session:
            session.add(
                StoredFile(
                    id=file_id,
                    filename=filename,
                    purpose="assistants",
                    bytes=len(data),
                    sha256=hashlib.sha256(data).hexdigest(),
                    storage_key=f"files/{file_id}",
                )
            )
            row = VectorStoreFile(
                store_id=store_id,
                file_id=file_id,
                document_key=filename,
                filename=filename,
                **({"chunking": sentences} | values),
            )
            session.add(row)
            session.flush()
            return row.number

    def row(self, number: int) -> VectorStoreFile:
        """The row as it stands."""
        with self.database.session(read_only=True) as session:
            return session.get_one(VectorStoreFile, number)

    def change(self, number: int, **values: Any) -> None:
        """Change the row behind the Ingestor's back, as the gateway does."""
        with self.database.session() as session:
            row = session.get_one(VectorStoreFile, number)
            for name, value in values.items():
                setattr(row, name, value)

    def has_text(self, number: int) -> bool:
        """Whether the normalised text is stored."""
        try:
            return bool(self.storage.read(text_key(DEFAULT_PROJECT, number)))
        except StorageError:
            return False

    def _impatient(self, patience: Patience) -> Patience:
        """The same patience on the test's clock: pauses pass at once."""
        return Patience(patience.outages, patience.limit_s, lambda: self.now, self._pause)

    async def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer
