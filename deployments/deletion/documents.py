"""Documents that were taken out leave what quotes them: traces, responses, kept answers."""

import asyncio
import json
import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, String, cast, select, update
from sqlalchemy.orm import Session

from cluster.records import (
    EvalItem,
    IdempotencyKey,
    LineageEdge,
    ResponseRecord,
    Trace,
    VectorStoreFile,
    now,
)
from cluster.tenancy import acting_in
from deployments.deletion.notes import DeletionNotes
from deployments.deletion.quotes import blotted, without_document
from deployments.lineage.edges import store_file_id
from deployments.monitor.duty import MonitorParts

__all__ = ["DocumentDuty", "take_out"]

_AT_ONCE: Final = 20
"""Documents of one turn."""
_BATCH: Final = 100
"""Traces, or responses, that one transaction changes."""


def take_out(session: Session, *conditions: ColumnElement[bool]) -> None:
    """Have `DocumentDuty` look for what quotes the matching versions, replaced ones among them."""
    session.execute(
        update(VectorStoreFile)
        .where(*conditions)
        .values(forget_at=now())
        .execution_options(synchronize_session=False)
    )


class DocumentDuty:
    """See `deployments.monitor.duty.Duty`. A version that is done has no `forget_at` any more.

    Each is cleared at once, and again when the longest request that may have read it before has
    ended. A turn that ends early costs nothing: what was cleared is looked at again.
    """

    name: Final = "document_deletion"
    period_s: Final = 5.0

    def __init__(self, parts: MonitorParts, note: DeletionNotes | None = None) -> None:
        self._database: Final = parts.database
        self._note: Final = note
        self._longest_s: Final = math.ceil(parts.settings.http.request_timeout_s)

    async def turn(self) -> None:
        """Clear what quotes the documents that were taken out last, a few at a time."""
        for row in await self._database.run(_due, read_only=True):
            with acting_in(row.project_id):
                await self._clear(row)

    async def _clear(self, row: VectorStoreFile) -> None:
        for batch in (_clear_traces, _clear_responses, _clear_kept_answers):
            last: str | None = ""
            while last is not None:
                last = await self._database.run(partial(batch, row=row, after=last))
        if self._note is not None:
            await asyncio.to_thread(self._note, "document", [str(row.number)])
        last_read = (row.deleted_at or 0) + self._longest_s
        again = last_read if last_read > (row.forget_at or 0) else None
        await self._database.run(partial(_put_off, row=row, until=again))


def _due(session: Session) -> list[VectorStoreFile]:
    query = select(VectorStoreFile).where(VectorStoreFile.forget_at <= now())
    return list(session.scalars(query.order_by(VectorStoreFile.forget_at).limit(_AT_ONCE)))


def _put_off(session: Session, row: VectorStoreFile, until: int | None) -> None:
    session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.number == row.number, VectorStoreFile.forget_at == row.forget_at)
        .values(forget_at=until)
    )


def _clear_traces(session: Session, row: VectorStoreFile, after: str) -> str | None:
    """Clear the next traces, and answers of evals that came from them; the last one's id."""
    ids = list(session.scalars(_quoting(row).where(LineageEdge.target > after)))
    texts: list[str] = []
    for trace in session.scalars(select(Trace).where(Trace.id.in_(ids))):
        trace.body, taken = without_document(trace.body, row.file_id, row.store_id)
        texts += taken
    _clear_items(session, ids, texts)
    return ids[-1] if len(ids) == _BATCH else None


def _clear_items(session: Session, traces: Sequence[str], texts: Sequence[str]) -> None:
    if not texts:
        return
    answered = EvalItem.sample["trace_id"].as_string().in_(traces)
    for item in session.scalars(select(EvalItem).where(answered)):
        item.sample = blotted(item.sample, texts)


def _clear_responses(session: Session, row: VectorStoreFile, after: str) -> str | None:
    said: ColumnElement[Any] = cast(ResponseRecord.body, String)
    query = select(ResponseRecord).where(
        ResponseRecord.id > after, said.contains(f'"{row.file_id}"', autoescape=True)
    )
    found = session.scalars(query.order_by(ResponseRecord.id).limit(_BATCH)).all()
    for record in found:
        record.body, texts = without_document(record.body, row.file_id, row.store_id)
        record.messages = blotted(record.messages, texts)
    return found[-1].id if len(found) == _BATCH else None


def _clear_kept_answers(session: Session, row: VectorStoreFile, after: str) -> str | None:
    """Clear what a retry with an Idempotency-Key would be answered."""
    query = select(IdempotencyKey).where(
        IdempotencyKey.key > after,
        IdempotencyKey.answer.contains(f'"{row.file_id}"', autoescape=True),
    )
    found = session.scalars(query.order_by(IdempotencyKey.key).limit(_BATCH)).all()
    for kept in found:
        answer, _ = without_document(json.loads(kept.answer or "null"), row.file_id, row.store_id)
        kept.answer = json.dumps(answer, ensure_ascii=False)
    return found[-1].key if len(found) == _BATCH else None


def _quoting(row: VectorStoreFile) -> Select[str]:
    """Select the next ids of traces that found passages of the document."""
    passages = select(LineageEdge.target).where(
        LineageEdge.source == store_file_id(row.store_id, row.file_id), LineageEdge.kind == "part"
    )
    return (
        select(LineageEdge.target)
        .where(LineageEdge.source.in_(passages))
        .order_by(LineageEdge.target)
        .distinct()
        .limit(_BATCH)
    )
