"""Questions' embeddings: made behind users' own requests, and kept for the next look."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import QuestionVector
from deployments.drift.signals import Observed
from deployments.ports import TextEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["QuestionVectors"]

_BATCH: Final = 64
_CHUNK: Final = 400
_KEPT: Final = 50_000
"""Vectors in the records, of 384 numbers 75 MiB; the oldest go."""
_FORM: Final = "<f4"


class QuestionVectors:
    """Vectors by trace, of one embedding model."""

    def __init__(self, database: Database, embedder: TextEmbedder, model: str) -> None:
        self._database: Final = database
        self._embedder: Final = embedder
        self._model: Final = model

    async def of(self, requests: Sequence[Observed]) -> "NDArray[Any]":
        """One row for each request that has a question, in order. Raises RequestError."""
        import numpy as np

        asked = {one.trace_id: one.question for one in requests if one.question is not None}
        known = await self._database.run(lambda s: self._read(s, list(asked)), read_only=True)
        missing = [trace for trace in asked if trace not in known]
        for begin in range(0, len(missing), _BATCH):
            batch = missing[begin : begin + _BATCH]
            texts = [asked[trace] or "" for trace in batch]
            made = (await self._embedder.embed(texts, priority="bulk")).vectors
            rows = {
                trace: np.asarray(vector, dtype=_FORM).tobytes()
                for trace, vector in zip(batch, made, strict=True)
            }
            await self._database.run(lambda s, rows=rows: self._write(s, rows))  # type: ignore[misc]
            known.update(rows)
        if not asked:
            return np.zeros((0, 0), dtype=np.float32)
        return np.stack([np.frombuffer(known[trace], dtype=_FORM) for trace in asked])

    async def prune(self) -> None:
        """Forget the oldest beyond what is kept."""
        await self._database.run(self._prune)

    def _read(self, session: Session, traces: Sequence[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for begin in range(0, len(traces), _CHUNK):
            rows = session.execute(
                select(QuestionVector.trace_id, QuestionVector.vector).where(
                    QuestionVector.model == self._model,
                    QuestionVector.trace_id.in_(traces[begin : begin + _CHUNK]),
                )
            )
            found.update((trace, bytes(vector)) for trace, vector in rows)
        return found

    def _write(self, session: Session, rows: dict[str, bytes]) -> None:
        for trace, vector in rows.items():
            session.merge(QuestionVector(trace_id=trace, model=self._model, vector=vector))

    def _prune(self, session: Session) -> None:
        count = int(session.scalar(select(func.count()).select_from(QuestionVector)) or 0)
        if count <= _KEPT:
            return
        newest = select(QuestionVector.created_at).order_by(QuestionVector.created_at.desc())
        oldest_kept = session.scalar(newest.offset(_KEPT - 1).limit(1))
        session.execute(delete(QuestionVector).where(QuestionVector.created_at < oldest_kept))
