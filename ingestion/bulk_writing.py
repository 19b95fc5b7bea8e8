"""The last stage of the bulk job, in its driver: embedded rows to Milvus and to the records."""

import asyncio
import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cluster.errors import DatabaseError, VectorDatabaseError
from ingestion.bulk_stages import PassageRow, chunk_of
from ingestion.changes import Change, Claim, Completed, Failed, Outcome, Progress
from ingestion.ledger import Ledger
from ingestion.outages import Patience
from ingestion.passages import EmbeddedPassage
from ingestion.pipeline import PassageWriter, passage_of, usage_of

__all__ = ["BulkWriter", "Failure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that was not ingested, and why."""

    source: str
    stage: str
    code: str
    reason: str


@dataclass(slots=True)
class _Document:
    claim: Claim
    source: str
    written: int = 0
    usage_bytes: int = 0


@dataclass
class BulkWriter:
    """Upserts batches as they come, in any order, and completes a file with its last passage.

    `sources`: claims by number, with the name to report. `open_index(dimension)` is called once,
    with the first vectors. Ids are content hashes, so a passage
    that comes twice (Ray Data runs a lost task again) is written twice and is one.
    """

    ledger: Ledger
    open_index: Callable[[int], PassageWriter]
    sources: dict[int, tuple[Claim, str]]
    patience_s: float = 600.0
    passages: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    replaced: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._open = {
            number: _Document(claim, source) for number, (claim, source) in self.sources.items()
        }
        self._seen: dict[int, set[int]] = {}
        self.index: PassageWriter | None = None
        self._milvus = Patience((VectorDatabaseError,), self.patience_s)
        self._records = Patience((DatabaseError,), self.patience_s)

    @property
    def open_claims(self) -> list[Claim]:
        """Files that are not at their end."""
        return [document.claim for document in self._open.values()]

    async def write(self, rows: Sequence[PassageRow], vectors: Sequence[Any]) -> None:
        """Write one batch; `vectors` has one row per row, of no meaning for failures."""
        by_language: dict[str | None, list[EmbeddedPassage]] = {}
        touched: dict[int, tuple[_Document, PassageRow]] = {}
        changes: list[Change] = []
        for row, vector in zip(rows, vectors, strict=True):
            document = self._open.get(int(row["number"]))
            if document is None:  # at its end already, or another's by now
                continue
            if row["code"]:
                changes.append(_failed(document.claim, row))
            elif self._is_new(row):
                chunk = chunk_of(row)
                passage = passage_of(document.claim, chunk, [float(x) for x in vector])
                by_language.setdefault(str(row["language"]) or None, []).append(passage)
                document.written += 1
                document.usage_bytes += usage_of([chunk], len(vector))
                touched[int(row["number"])] = (document, row)
        await self._upsert(by_language)
        changes += [self._progress(document, row) for document, row in touched.values()]
        await self._apply(changes)

    async def keep_leases(self) -> None:
        """Renew the leases; files that were detached or taken meanwhile are dropped."""
        claims = self.open_claims
        held = await self.ledger.renew(claims)
        for claim in claims:
            if claim.number not in held and claim.number in self._open:
                del self._open[claim.number]
                self.counts["lost"] += 1
                await self.ledger.unpurge(claim)

    async def release(self) -> None:
        """Give unfinished files back: the Ingestor, or the next run, takes them up."""
        await self.ledger.release(self.open_claims)

    def _is_new(self, row: PassageRow) -> bool:
        seen = self._seen.setdefault(int(row["number"]), set())
        new = int(row["ordinal"]) not in seen
        seen.add(int(row["ordinal"]))
        return new

    def _progress(self, document: _Document, row: PassageRow) -> Change:
        total = int(row["passages"])
        values = {
            "passages": total,
            "passages_done": document.written,
            "language": str(row["language"]) or None,
            "pages": None if int(row["pages"]) < 0 else int(row["pages"]),
        }
        if document.written < total:
            return Progress(document.claim, "indexing", values)
        return Completed(document.claim, {**values, "usage_bytes": document.usage_bytes})

    async def _upsert(self, by_language: dict[str | None, list[EmbeddedPassage]]) -> None:
        if by_language and self.index is None:
            first = next(iter(by_language.values()))[0]
            self.index = self.open_index(len(first.vector))
        for language, passages in by_language.items():
            await self._milvus.call(
                f"Writing {len(passages)} passages",
                functools.partial(self._upsert_all, passages, language),
            )
            self.passages += len(passages)

    async def _upsert_all(self, passages: list[EmbeddedPassage], language: str | None) -> None:
        assert self.index is not None  # noqa: S101 - opened by the caller
        await asyncio.to_thread(self.index.upsert, passages, language=language)

    async def _apply(self, changes: list[Change]) -> None:
        if not changes:
            return
        outcomes = await self._records.call(
            f"Recording {len(changes)} changes", lambda: self.ledger.apply(changes)
        )
        for change, outcome in zip(changes, outcomes, strict=True):
            await self._end(change, outcome)

    async def _end(self, change: Change, outcome: Outcome) -> None:
        if not outcome.held:
            await self.ledger.unpurge(change.claim)
        elif isinstance(change, Progress):
            return
        document = self._open.pop(change.claim.number, None)
        if document is None:  # given up while this was written
            return
        self._seen.pop(change.claim.number, None)
        self.counts[outcome.status] += 1
        self.replaced += outcome.replaced
        if isinstance(change, Failed) and outcome.held:
            self.failures.append(
                Failure(document.source, change.stage, change.code, change.message)
            )


def _failed(claim: Claim, row: PassageRow) -> Failed:
    stage: Any = str(row["stage"])
    code: Any = str(row["code"])
    return Failed(claim, stage, code, str(row["reason"]))
