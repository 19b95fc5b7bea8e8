"""Requests of an experiment as the statistics see them, read from their traces."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import Feedback, Trace, TraceScore
from deployments.experiments.plan import Fault, Metric

__all__ = [
    "EMPTY_ANSWER",
    "Seen",
    "id_at",
    "read_seen",
    "read_values",
    "time_of",
]

EMPTY_ANSWER: Final = "empty_answer"
"""In a trace's body: whether its answer held neither text nor a call of a tool."""
_FIRST_SERVER_ERROR: Final = 500
_OUR_CODES: Final = frozenset(
    {"context_length_exceeded", "invalid_prompt_variable", "prompt_not_rendered"}
)
"""Errors of 4xx that a prompt or too many passages cause, where the client names no prompt."""
_NO_OUTCOME: Final = frozenset({429, 499})
"""Turned away, or left by the client: nothing was seen of the arm."""
_BATCH: Final = 500
_MICROSECONDS: Final = 1_000_000
_DIGITS: Final = 13


@dataclass(frozen=True, slots=True)
class Seen:
    """One request of an arm."""

    id: str
    """Its trace's; it sorts by the time when the request began."""
    arm: str
    unit: str
    """Its user, or itself where it names none."""
    shadow: bool
    status: int
    error: bool
    empty: bool
    refused: bool | None
    """None where that was not looked at."""
    latency_ms: float
    cost: float | None
    tokens: int | None

    @property
    def counts(self) -> bool:
        """Whether anything of the arm was seen."""
        return self.status not in _NO_OUTCOME

    def fault(self, fault: Fault) -> bool | None:
        """Whether it has this fault; None where that cannot be said of it."""
        if fault == "error":
            return self.error
        if self.error:
            return None
        return self.empty if fault == "empty" else self.refused

    def value(self, fact: str) -> float | None:
        """A fact of its trace, by the metric's name after `trace:`."""
        if fact in {"error", "empty", "refused"}:
            found = self.fault(fact)  # type: ignore[arg-type]  # the set above
            return None if found is None else float(found)
        told = {"latency_ms": self.latency_ms, "cost": self.cost, "tokens": self.tokens}[fact]
        return None if told is None else float(told)


def id_at(seconds: float) -> str:
    """What traces' ids since that time are not below."""
    return f"trace_{max(0, int(seconds * _MICROSECONDS)):0{_DIGITS}x}"


def time_of(trace_id: str) -> float:
    """When the request began, in seconds since 1970."""
    start = len("trace_")
    return int(trace_id[start : start + _DIGITS], 16) / _MICROSECONDS


def read_seen(session: Session, experiment_id: str, after: str) -> list[Seen]:
    """Requests whose traces are written and that began since the id `after`, in that order."""
    rows = session.execute(
        select(
            Trace.id,
            Trace.arm,
            Trace.user_id,
            Trace.request_id,
            Trace.shadow_of,
            Trace.status,
            Trace.error_code,
            Trace.refused,
            Trace.duration_ms,
            Trace.cost,
            Trace.prompt_tokens,
            Trace.completion_tokens,
            Trace.body[EMPTY_ANSWER].as_boolean(),
        )
        .where(Trace.experiment_id == experiment_id, Trace.id >= after, Trace.arm.is_not(None))
        .order_by(Trace.id)
    )
    return [
        Seen(
            id=row[0],
            arm=str(row[1]),
            unit=row[2] or row[3],
            shadow=row[4] is not None,
            status=row[5],
            error=row[5] >= _FIRST_SERVER_ERROR or row[6] in _OUR_CODES,
            empty=bool(row[12]),
            refused=row[7],
            latency_ms=row[8],
            cost=row[9],
            tokens=None if row[10] is None and row[11] is None else (row[10] or 0) + (row[11] or 0),
        )
        for row in rows
    ]


def read_values(session: Session, metric: Metric, seen: Sequence[Seen]) -> Mapping[str, float]:
    """The metric's values by trace, of those that came within its wait from their request."""
    kind, _, name = metric.name.partition(":")
    if kind == "trace":
        found = ((one.id, one.value(name)) for one in seen if one.counts)
        return {trace_id: value for trace_id, value in found if value is not None}
    values: dict[str, float] = {}
    for start in range(0, len(seen), _BATCH):
        ids = [one.id for one in seen[start : start + _BATCH]]
        rows = _scores(session, name, ids) if kind == "score" else _feedback(session, name, ids)
        for trace_id, value, at in rows:
            if at <= time_of(trace_id) + metric.waits:
                values.setdefault(trace_id, value)
    return values


def _scores(session: Session, name: str, ids: list[str]) -> Iterable[tuple[str, float, int]]:
    rows = session.execute(
        select(TraceScore.trace_id, TraceScore.value, TraceScore.created_at).where(
            TraceScore.trace_id.in_(ids), TraceScore.name == name, TraceScore.value.is_not(None)
        )
    )
    return ((row[0], float(row[1] or 0), row[2]) for row in rows)


def _feedback(session: Session, name: str, ids: list[str]) -> Iterable[tuple[str, float, int]]:
    """The first that was said of each; a thumb counts as 0 or 1 where there is no score."""
    rows = session.execute(
        select(Feedback.trace_id, Feedback.score, Feedback.thumbs, Feedback.created_at)
        .where(Feedback.trace_id.in_(ids), Feedback.name == name)
        .order_by(Feedback.id)
    )
    for trace_id, score, thumbs, at in rows:
        if score is not None or thumbs is not None:
            yield trace_id, float(thumbs == "up") if score is None else score, at
