"""Figures over traces, computed by the database."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Integer, RowMapping, and_, case, cast, func, select
from sqlalchemy.orm import Session

from cluster.records import Trace, now
from deployments.errors import InvalidRequest
from deployments.gateway.trace_filters import TraceFilters
from deployments.tracing.draft import CLIENT_CLOSED

__all__ = ["GroupBy", "TraceFigures", "TraceStats", "read_stats"]

GroupBy = Literal["model", "alias", "prompt_version", "route", "arm", "hour", "day"]

_DAY_S: Final = 86_400
_LONGEST_S: Final = 92 * _DAY_S
_MOST_GROUPS: Final = 100
_PERCENTILES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
_COLUMNS: Final[Mapping[str, Any]] = {
    "model": Trace.model,
    "alias": Trace.alias,
    "prompt_version": Trace.prompt_version,
    "route": Trace.route,
    "arm": Trace.arm,
}
_SPANS_S: Final = {"hour": 3600, "day": _DAY_S}


class TraceFigures(BaseModel):
    """Figures of a group of traces."""

    key: str | int | None
    """What they share; for hours and days when it began, in seconds since the epoch."""
    requests: int
    errors: int
    """Status 400 and above, without clients that went away."""
    error_rate: float
    client_closed: int
    refusal_rate: float | None
    """Of the requests where that was looked at."""
    duration_ms: dict[str, float]
    """p50, p95 and p99, by nearest rank, and the mean."""
    prompt_tokens: int
    completion_tokens: int
    cost: float | None
    """None where nothing in the group has a price."""


class TraceStats(BaseModel):
    """All traces that the filters leave, and the same by group."""

    object: Literal["trace.stats"] = "trace.stats"
    since: int
    until: int | None
    total: TraceFigures
    group_by: str | None
    groups: list[TraceFigures]
    """At most a hundred: the latest hours or days, else the largest groups."""
    has_more_groups: bool
    replica: dict[str, int]
    """What became of the traces of the gateway's replica that answers; `dropped` are lost."""


def read_stats(
    session: Session, filters: TraceFilters, group_by: GroupBy | None, replica: Mapping[str, int]
) -> TraceStats:
    """Compute them, without `since` over a day. Raises InvalidRequest for too long a time."""
    since = filters.since if filters.since is not None else now() - _DAY_S
    until = now() if filters.until is None else filters.until
    if until - since > _LONGEST_S:
        raise InvalidRequest(
            f"since is {since}, {(until - since) // _DAY_S} days before the end; at most "
            f"{_LONGEST_S // _DAY_S} days are counted at once.",
            param="since",
            code="invalid_value",
        )
    within = and_(*filters.conditions, Trace.created_at >= since)
    nothing: ColumnElement[Any] = cast(None, Integer)
    whole, _ = _figures(session, within, nothing, lambda _key, count: count)
    groups: list[TraceFigures] = []
    more = False
    if group_by in _SPANS_S:
        span = _SPANS_S[group_by]
        start = Trace.created_at - Trace.created_at % span
        groups, more = _figures(session, within, start, lambda key, _count: key.desc())
    elif group_by is not None:
        groups, more = _figures(
            session, within, _COLUMNS[group_by], lambda _key, count: count.desc()
        )
    return TraceStats(
        since=since,
        until=filters.until,
        total=whole[0] if whole else _NONE,
        group_by=group_by,
        groups=groups,
        has_more_groups=more,
        replica=dict(replica),
    )


def _figures(
    session: Session,
    within: ColumnElement[bool],
    key: ColumnElement[Any],
    order: Callable[[ColumnElement[Any], ColumnElement[int]], ColumnElement[Any]],
) -> tuple[list[TraceFigures], bool]:
    """Figures by `key`, and whether there are more groups."""
    failed = and_(Trace.status >= 400, Trace.status != CLIENT_CLOSED)
    ranked = (
        select(
            key.label("key"),
            Trace.duration_ms.label("ms"),
            Trace.prompt_tokens,
            Trace.completion_tokens,
            Trace.cost,
            case((failed, 1), else_=0).label("failed"),
            case((Trace.status == CLIENT_CLOSED, 1), else_=0).label("closed"),
            case((Trace.refused.is_(True), 1.0), (Trace.refused.is_(False), 0.0)).label("refused"),
            func.row_number().over(partition_by=key, order_by=Trace.duration_ms).label("rank"),
            func.count().over(partition_by=key).label("size"),
        )
        .where(within)
        .subquery()
    )
    column = ranked.c
    # By nearest rank: the first value at or below which a share of the values lies.
    quantiles = [
        func.min(case((column.rank >= column.size * share, column.ms))).label(name)
        for name, share in _PERCENTILES.items()
    ]
    count = func.count()
    query = (
        select(
            column.key,
            count.label("requests"),
            func.sum(column.failed).label("errors"),
            func.sum(column.closed).label("closed"),
            func.avg(column.refused).label("refusals"),
            func.avg(column.ms).label("mean"),
            func.sum(column.prompt_tokens).label("prompt"),
            func.sum(column.completion_tokens).label("completion"),
            func.sum(column.cost).label("cost"),
            *quantiles,
        )
        .group_by(column.key)
        .order_by(order(column.key, count))
        .limit(_MOST_GROUPS + 1)
    )
    rows = session.execute(query).mappings().all()
    return [_group(row) for row in rows[:_MOST_GROUPS]], len(rows) > _MOST_GROUPS


def _group(row: RowMapping) -> TraceFigures:
    requests, errors = int(row["requests"]), int(row["errors"])
    durations = {name: round(float(row[name]), 3) for name in (*_PERCENTILES, "mean")}
    return TraceFigures(
        key=row["key"],
        requests=requests,
        errors=errors,
        error_rate=errors / requests,
        client_closed=int(row["closed"]),
        refusal_rate=None if row["refusals"] is None else float(row["refusals"]),
        duration_ms=durations,
        prompt_tokens=int(row["prompt"] or 0),
        completion_tokens=int(row["completion"] or 0),
        cost=row["cost"],
    )


_NONE: Final = TraceFigures(
    key=None,
    requests=0,
    errors=0,
    error_rate=0.0,
    client_closed=0,
    refusal_rate=None,
    duration_ms={},
    prompt_tokens=0,
    completion_tokens=0,
    cost=None,
)
