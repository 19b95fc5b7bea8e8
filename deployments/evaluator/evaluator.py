"""Scores answers after they were sent, from their traces; `deployment.py` hosts the class."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import Trace, TraceScore, now
from cluster.tenancy import acting_in
from deployments.errors import RequestError
from deployments.evaluation.metrics.relevance import relevance, relevant_share
from deployments.evaluation.metrics.verdicts import check_sentences, share
from deployments.evaluator.metrics import METRICS
from deployments.evaluator.vectors import BulkVectors
from deployments.gateway.grounding.windows import SourcePassage
from deployments.ports import TextEmbedder

__all__ = ["EVALUATOR", "Evaluator", "EvaluatorCounts"]

_log = logging.getLogger(__name__)

EVALUATOR: Final = "everloop/rules@1"
"""Who gave the scores: method and version."""
_CATCH_UP_S: Final = 3600
_ATTEMPTS: Final = 4
_PAUSE_S: Final = 1.0


class _NotWritten(Exception):
    """The trace is not in the records yet."""


@dataclass(slots=True)
class EvaluatorCounts:
    """What became of what was submitted."""

    scored: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class _Score:
    value: float | None
    detail: dict[str, Any] = field(default_factory=dict)


class Evaluator:
    """Scores one trace at a time, in order; at most `max_queued` wait.

    What waits when the process dies is taken up again by `catch_up`, for answers of the last hour.
    """

    def __init__(
        self,
        database: Database,
        embedder: TextEmbedder,
        max_queued: int,
        pause_s: float = _PAUSE_S,
    ) -> None:
        self._pause_s = pause_s
        self._database = database
        self._vectors = BulkVectors(embedder)
        self._max_queued = max_queued
        self._waiting: deque[str] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._counts = EvaluatorCounts()

    @property
    def counts(self) -> EvaluatorCounts:
        """Numbers since the start."""
        self._counts.waiting = len(self._waiting)
        return self._counts

    def submit(self, trace_id: str) -> bool:
        """See `deployments.ports.AnswerScorer`. Must be called on the event loop."""
        if len(self._waiting) >= self._max_queued:
            self._counts.dropped += 1
            return False
        self._waiting.append(trace_id)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return True

    async def catch_up(self) -> int:
        """Submit sampled answers of the last hour that have no score yet; returns how many."""

        def unscored(session: Session) -> list[str]:
            scored = select(TraceScore.trace_id)
            rows = session.scalars(
                select(Trace)
                .where(
                    Trace.created_at >= now() - _CATCH_UP_S,
                    Trace.prompt_version.is_not(None),  # grounded answers only
                    Trace.id.not_in(scored),
                )
                .order_by(Trace.created_at)
                .limit(self._max_queued)
            )
            return [trace.id for trace in rows if trace.body.get("evaluate")]

        found = await self._database.run(unscored, read_only=True)
        return sum(self.submit(trace_id) for trace_id in found)

    async def drain(self) -> None:
        """Wait until nothing waits."""
        while self._worker is not None and not self._worker.done():
            await self._worker

    async def score(self, trace_id: str) -> dict[str, float | None]:
        """Score one trace now and write the scores to it. Raises `_NotWritten` without a trace."""
        trace = await self._database.run(
            lambda session: session.get(Trace, trace_id), read_only=True
        )
        if trace is None:
            raise _NotWritten(trace_id)
        scores = await self._scores(trace)

        def write(session: Session) -> None:
            for name, score in scores.items():
                session.merge(
                    TraceScore(
                        trace_id=trace_id,
                        name=name,
                        value=score.value,
                        evaluator=EVALUATOR,
                        detail=score.detail,
                    )
                )

        with acting_in(trace.project_id):
            await self._database.run(write)
        return {name: score.value for name, score in scores.items()}

    async def _scores(self, trace: Trace) -> dict[str, _Score]:
        if trace.body.get("refused"):
            return _not_applicable("the question was refused: nothing supported an answer")
        passages = trace.body.get("passages")
        if not trace.question or not trace.answer or passages is None:
            return _not_applicable("the trace has no texts; see the setting tracing.store_text")
        question, answer = trace.question, trace.answer
        texts = [str(passage["text"]) for passage in passages]
        sources = [
            SourcePassage(index, str(p["text"]), " ".join((*p.get("section", ()), p["filename"])))
            for index, p in enumerate(passages)
        ]
        checked = await check_sentences(answer, sources, self._vectors)
        checkable = [sentence for sentence in checked if sentence.checkable]
        cited = {support.passage for sentence in checkable for support in sentence.supports}
        vectors = await self._vectors.vectors([question, answer, *texts])
        similarities = [relevance(vectors[0], vector) for vector in vectors[2:]]
        return {
            "groundedness": _Score(
                share([sentence.supported for sentence in checkable]),
                {
                    "sentences": len(checkable),
                    "unsupported": [
                        [s.start, s.end, s.reason] for s in checkable if not s.supported
                    ],
                },
            ),
            "answer_relevance": _Score(relevance(vectors[0], vectors[1])),
            "retrieval_precision": _Score(
                relevant_share(similarities, [index in cited for index in range(len(texts))]),
                {"passages": len(texts), "cited": sorted(cited)},
            ),
        }

    async def _work(self) -> None:
        while self._waiting:
            trace_id = self._waiting.popleft()
            for attempt in range(1, _ATTEMPTS + 1):
                try:
                    await self.score(trace_id)
                    self._counts.scored += 1
                    break
                except (RequestError, DatabaseError, _NotWritten) as error:
                    if attempt == _ATTEMPTS:
                        self._counts.failed += 1
                        _log.warning("Trace %s could not be scored: %r", trace_id, error)
                    else:
                        await asyncio.sleep(self._pause_s * attempt)
                except Exception:  # noqa: BLE001 - the queue's edge: one bad trace must not stop it
                    self._counts.failed += 1
                    _log.exception("Trace %s could not be scored", trace_id)
                    break


def _not_applicable(reason: str) -> dict[str, _Score]:
    return {name: _Score(None, {"reason": reason}) for name in METRICS}
