"""The document path: one `VectorStoreFile` row from bytes to searchable passages.

queued → parsing → chunking → embedding → indexing → completed | failed(stage, reason)

Many files go through at once. Each is a coroutine that reads from top to bottom (`_ingest`); what
they have in common (a forward pass, an upsert, a transaction) is gathered across files, so that
many small files do not each pay a round trip, and parsing, embedding and indexing overlap.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from cluster.errors import DatabaseError, EverloopError, StorageError, VectorDatabaseError
from cluster.ids import content_id, new_id
from cluster.storage import ByteStore
from ingestion.bulk_embedder import BulkEmbedder, PatientEmbedder
from ingestion.changes import Change, Claim, Completed, Failed, Outcome, Progress, Returned, Stage
from ingestion.chunking import chunk_document, parse_strategy
from ingestion.errors import DocumentError
from ingestion.gathering import Gatherer
from ingestion.ledger import Ledger
from ingestion.outages import Patience, StillDownError
from ingestion.parsing import Parser, ParserDiedError
from ingestion.passages import Chunk, EmbeddedPassage, ParsedDocument
from ingestion.stored_text import dump_document, text_key

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = [
    "Chunker",
    "DocumentPipeline",
    "PassageWriter",
    "check_chunks",
    "passage_of",
    "usage_of",
]

_log = logging.getLogger(__name__)

_EMBED_TOKENS: Final = 16_384
"""Tokens in one call to the Embedder: enough to sort by length into full batches."""
_EMBED_CALLS: Final = 2
"""One runs while the next waits at the Embedder's door."""
_UPSERT_PASSAGES: Final = 512
_CHANGES: Final = 256
_WINDOW: Final = 128
"""Passages of one file that travel together."""
_WINDOWS: Final = 4
"""Windows of one file under way at once: bounds its memory."""
_MAX_PASSAGE_BYTES: Final = 65_535
"""Milvus's largest VARCHAR."""


class PassageWriter(Protocol):
    """The writing half of `ingestion.index.PassageIndex`. Blocking; raises VectorDatabaseError."""

    def upsert(self, passages: Sequence[EmbeddedPassage], *, language: str | None = None) -> None:
        """Write passages; those with the same id are replaced."""
        ...

    def delete(self, project_id: str, store_id: str, numbers: Sequence[int]) -> None:
        """Remove every passage of these document versions."""
        ...

    def delete_project(self, project_id: str) -> int:
        """Remove every passage of a project; returns how many there were."""
        ...

    def settle(self) -> None:
        """Make what was written fast to search."""
        ...


class Chunker:
    """Cuts documents in threads of its own, which release the interpreter while tokenising."""

    def __init__(self, tokenizer: "Tokenizer", *, threads: int = 2) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="chunking")

    async def chunk(
        self, document: ParsedDocument, strategy: dict[str, Any], embedder: BulkEmbedder
    ) -> list[Chunk]:
        """Cut `document` by OpenAI's `chunking_strategy`; the semantic one embeds sentences."""
        loop = asyncio.get_running_loop()

        def embed(texts: list[str]) -> list[list[float]]:
            async def call() -> list[list[float]]:
                return (await embedder.embed(texts, priority="bulk")).vectors

            return asyncio.run_coroutine_threadsafe(call(), loop).result()

        return await loop.run_in_executor(
            self._threads,
            lambda: chunk_document(document, parse_strategy(strategy), self._tokenizer, embed),
        )


@dataclass
class _Run:
    """One file under way: its claim, its stage, and the milliseconds of the stages before."""

    claim: Claim
    clock: Callable[[], float]
    stage: Stage = "parsing"
    timings_ms: dict[str, float] = field(default_factory=dict)
    entered: float = 0.0

    def __post_init__(self) -> None:
        self.entered = self.clock()

    def enter(self, stage: Stage) -> None:
        """Leave the stage before."""
        self.leave()
        self.stage = stage

    def leave(self) -> None:
        """Note what the present stage took."""
        now = self.clock()
        spent = self.timings_ms.get(self.stage, 0.0) + 1000 * (now - self.entered)
        self.timings_ms[self.stage] = round(spent, 1)
        self.entered = now


class _LostError(Exception):
    """The claim is void: the file was detached, cancelled, or taken by another worker."""


class DocumentPipeline:
    """Takes claimed document versions to their end. `process` may run for many at a time.

    `outages`: errors of the embedder that pass by themselves. While Milvus, the byte store, the
    records or the embedder are down, files wait in their stage, for `patience_s` at most.
    """

    def __init__(
        self,
        ledger: Ledger,
        storage: ByteStore,
        parser: Parser,
        chunker: Chunker,
        embedder: BulkEmbedder,
        index: PassageWriter,
        *,
        max_attempts: int = 3,
        outages: tuple[type[Exception], ...] = (),
        patience_s: float = 600.0,
        storage_patience_s: float = 15.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._ledger = ledger
        self._storage = storage
        self._parser = parser
        self._chunker = chunker
        self._embedder = embedder
        self._index = index
        self._max_attempts = max_attempts
        self._clock = clock
        self._milvus = Patience((VectorDatabaseError,), patience_s)
        self._records = Patience((DatabaseError,), patience_s)
        self._bytes = Patience((StorageError,), storage_patience_s)
        self._vectors = Patience(outages, patience_s)
        everybodys = (StillDownError,)
        self._embedding: Gatherer[Chunk, list[float]] = Gatherer(
            self._embed,
            weight=lambda chunk: chunk.tokens,
            limit=_EMBED_TOKENS,
            parallel=_EMBED_CALLS,
            shared=everybodys,
        )
        self._writing: Gatherer[tuple[EmbeddedPassage, str | None], None] = Gatherer(
            self._upsert, limit=_UPSERT_PASSAGES, shared=everybodys
        )
        self._changing: Gatherer[Change, Outcome] = Gatherer(
            self._apply, limit=_CHANGES, shared=everybodys
        )
        self.passages_written = 0
        """Since this object was made; for metrics and for deciding when to settle."""

    async def process(self, claim: Claim) -> Outcome:
        """Take one claimed version to its end, and write down what that was.

        Never raises for a fault of the file. When the process is cancelled, the row is left in
        its stage and its lease lapses. Raises StillDownError when the records stay away.
        """
        run = _Run(claim, self._clock)
        try:
            return await self._ingest(run)
        except _LostError:
            await self._ledger.unpurge(claim)
            return Outcome(held=False, status="lost")
        except DocumentError as error:
            return await self._fail(run, Failed(claim, run.stage, error.code, str(error)))
        except ParserDiedError as error:
            return await self._change(
                Returned(claim, run.stage, error.message.rstrip("."), self._max_attempts)
            )
        except EverloopError as error:
            return await self._fail(run, Failed(claim, run.stage, "server_error", str(error)))
        except Exception:  # noqa: BLE001 - a file must end in its row, whatever it does to us
            reference = new_id("err")
            _log.exception(
                "%s: document %d (%s) failed while %s",
                reference,
                claim.number,
                claim.file_id,
                run.stage,
            )
            message = f"An unexpected error; the Ingestor's log has it as {reference}."
            return await self._fail(run, Failed(claim, run.stage, "server_error", message))

    async def writes_under_way(self) -> None:
        """Wait for upserts that were started; those of cancelled files end later than the files."""
        await self._writing.running_calls()

    async def settle(self) -> None:
        """Make what was written fast to search. For the end of a burst, not for every file."""
        await asyncio.to_thread(self._index.settle)

    async def _ingest(self, run: _Run) -> Outcome:
        claim = run.claim
        document = await self._bytes.call(
            f"Reading {claim.filename!r}",
            lambda: self._parser.parse(claim.storage_key, claim.filename),
        )
        await self._enter(run, "chunking", language=document.language, pages=document.pages)
        embedder = PatientEmbedder(self._embedder, self._vectors)
        chunks = await self._chunker.chunk(document, claim.chunking, embedder)
        check_chunks(chunks, claim.filename)
        key = text_key(claim.project_id, claim.number)
        await self._bytes.call(f"Writing {key}", lambda: self._store_text(key, document))
        await self._enter(run, "embedding", passages=len(chunks), passages_done=0)
        await self._index_all(run, chunks, document.language)
        run.leave()
        dimension = self._dimension
        return await self._change(
            Completed(
                claim,
                {
                    "passages": len(chunks),
                    "passages_done": len(chunks),
                    "usage_bytes": usage_of(chunks, dimension),
                    "timings_ms": dict(run.timings_ms),
                },
            ),
            lost_is_error=True,
        )

    async def _index_all(self, run: _Run, chunks: list[Chunk], language: str | None) -> None:
        """Embed and upsert, window by window, so that the two overlap within a large file too."""
        slots = asyncio.Semaphore(_WINDOWS)
        embedded = written = 0

        async def one(window: list[Chunk]) -> None:
            nonlocal embedded, written
            async with slots:
                vectors = await self._embedding.submit(window)
                embedded += len(window)
                if embedded == len(chunks):
                    await self._enter(run, "indexing", passages_done=written)
                passages = [
                    (passage_of(run.claim, chunk, vector), language)
                    for chunk, vector in zip(window, vectors, strict=True)
                ]
                await self._writing.submit(passages)
                written += len(window)
                if written < len(chunks):
                    await self._record(run, passages_done=written)

        try:
            async with asyncio.TaskGroup() as group:
                for start in range(0, len(chunks), _WINDOW):
                    group.create_task(one(chunks[start : start + _WINDOW]))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _enter(self, run: _Run, stage: Stage, **values: Any) -> None:
        run.enter(stage)
        await self._record(run, **values)

    async def _record(self, run: _Run, **values: Any) -> None:
        values["timings_ms"] = dict(run.timings_ms)
        await self._change(Progress(run.claim, run.stage, values), lost_is_error=True)

    async def _fail(self, run: _Run, failure: Failed) -> Outcome:
        run.leave()
        failure.values["timings_ms"] = dict(run.timings_ms)
        return await self._change(failure)

    async def _change(self, change: Change, *, lost_is_error: bool = False) -> Outcome:
        (outcome,) = await self._changing.submit([change])
        if not outcome.held:
            if lost_is_error:
                raise _LostError
            await self._ledger.unpurge(change.claim)
        return outcome

    async def _store_text(self, key: str, document: ParsedDocument) -> None:
        await asyncio.to_thread(lambda: self._storage.put(key, [dump_document(document)]))

    async def _embed(self, chunks: list[Chunk]) -> list[list[float]]:
        # Sorted by length, the Embedder's batches need little padding.
        order = sorted(range(len(chunks)), key=lambda i: -chunks[i].tokens)
        embedder = PatientEmbedder(self._embedder, self._vectors)
        answer = await embedder.embed([chunks[i].text for i in order], priority="bulk")
        vectors: list[list[float]] = [[] for _ in chunks]
        for position, vector in zip(order, answer.vectors, strict=True):
            vectors[position] = vector
        self._dimension = len(vectors[0])
        return vectors

    async def _upsert(self, items: list[tuple[EmbeddedPassage, str | None]]) -> list[None]:
        by_language: dict[str | None, list[EmbeddedPassage]] = {}
        for passage, language in items:
            by_language.setdefault(language, []).append(passage)

        def write() -> None:
            for language, passages in by_language.items():
                self._index.upsert(passages, language=language)

        await self._milvus.call(f"Writing {len(items)} passages", lambda: asyncio.to_thread(write))
        self.passages_written += len(items)
        return [None] * len(items)

    async def _apply(self, changes: list[Change]) -> list[Outcome]:
        return await self._records.call(
            f"Recording {len(changes)} changes", lambda: self._ledger.apply(changes)
        )

    _dimension: int = 0


def usage_of(chunks: Sequence[Chunk], dimension: int) -> int:
    """Bytes that passages take: their text and their vectors in single precision."""
    return sum(len(chunk.text.encode(errors="replace")) + 4 * dimension for chunk in chunks)


def check_chunks(chunks: Sequence[Chunk], filename: str) -> None:
    """Raise DocumentError unless there are passages and each fits Milvus."""
    if not chunks:
        raise DocumentError(f"{filename!r} has no text that can be searched.")
    longest = max(len(chunk.text.encode(errors="replace")) for chunk in chunks)
    if longest > _MAX_PASSAGE_BYTES:
        raise DocumentError(
            f"{filename!r} has a passage of {longest} bytes; {_MAX_PASSAGE_BYTES} are allowed.",
            fix="Choose a smaller max_chunk_size_tokens.",
        )


def passage_of(claim: Claim, chunk: Chunk, vector: list[float]) -> EmbeddedPassage:
    """The passage under the id that depends on the version and its content only."""
    return EmbeddedPassage(
        id=content_id("psg", claim.store_id, str(claim.number), claim.sha256, str(chunk.ordinal)),
        project_id=claim.project_id,
        store_id=claim.store_id,
        number=claim.number,
        file_id=claim.file_id,
        chunk=chunk,
        vector=vector,
    )
