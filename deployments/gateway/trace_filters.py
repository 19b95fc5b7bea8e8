"""Which traces a list, a count or an export holds."""

import math
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Query
from sqlalchemy import ColumnElement, Select, exists, or_

from cluster.records import Feedback, LineageEdge, Trace, TraceScore
from deployments.errors import InvalidRequest
from deployments.gateway.users import digest_of

__all__ = ["TraceFilters"]

_SCORE: Final = re.compile(r"([A-Za-z0-9_.:-]{1,64})\s*(<=|>=|<|>|=)\s*(-?[0-9.eE+-]{1,32})")
_FIRST_ERROR: Final = 400

Short = Annotated[str | None, Query(max_length=64)]
Name = Annotated[str | None, Query(max_length=256)]
Number = Annotated[float | None, Query(ge=0, allow_inf_nan=False)]


class TraceFilters:
    """FastAPI dependency: query parameters that all have to hold. Wrong ones raise 400 errors."""

    def __init__(
        self,
        route: Annotated[Name, Query(description="Such as /v1/responses.")] = None,
        model: Annotated[Name, Query(description="What answered: model or adapter.")] = None,
        alias: Short = None,
        prompt_version: Annotated[Short, Query(description="name@digest, or a name.")] = None,
        status: Annotated[
            str | None, Query(max_length=8, description="A number, ok, error, 4xx or 5xx.")
        ] = None,
        error_code: Short = None,
        experiment_id: Short = None,
        arm: Short = None,
        user: Annotated[
            str | None, Query(max_length=512, description="As the client names it; or its digest.")
        ] = None,
        refused: bool | None = None,
        shadow: bool | None = None,
        min_duration_ms: Number = None,
        max_duration_ms: Number = None,
        min_cost: Number = None,
        since: Annotated[
            str | None, Query(max_length=40, description="Seconds since the epoch, or ISO 8601.")
        ] = None,
        until: Annotated[str | None, Query(max_length=40, description="Before then.")] = None,
        score: Annotated[
            list[str] | None, Query(max_length=8, description="Such as groundedness<0.5; several.")
        ] = None,
        has_feedback: bool | None = None,
        thumbs: Literal["up", "down"] | None = None,
        vector_store: Annotated[Short, Query(description="Answers from its passages.")] = None,
        file: Annotated[Short, Query(description="Answers from this file's passages.")] = None,
        q: Annotated[
            str | None, Query(max_length=256, description="Words in question or answer.")
        ] = None,
    ) -> None:
        equal = {
            Trace.route: route,
            Trace.model: model,
            Trace.alias: alias,
            Trace.error_code: error_code,
            Trace.experiment_id: experiment_id,
            Trace.arm: arm,
            Trace.refused: refused,
        }
        wanted = [column == value for column, value in equal.items() if value is not None]
        if prompt_version is not None:
            whole = "@" in prompt_version
            wanted.append(
                Trace.prompt_version == prompt_version
                if whole
                else Trace.prompt_version.startswith(f"{prompt_version}@", autoescape=True)
            )
        if status is not None:
            wanted.append(_status(status))
        if user is not None:
            wanted.append(Trace.user_id.in_((user, digest_of(user))))
        if shadow is not None:
            wanted.append(Trace.shadow_of.is_not(None) if shadow else Trace.shadow_of.is_(None))
        if min_duration_ms is not None:
            wanted.append(Trace.duration_ms >= min_duration_ms)
        if max_duration_ms is not None:
            wanted.append(Trace.duration_ms <= max_duration_ms)
        if min_cost is not None:
            wanted.append(Trace.cost >= min_cost)
        self.since: Final = None if since is None else _moment(since, "since")
        self.until: Final = None if until is None else _moment(until, "until")
        if self.since is not None:
            wanted.append(Trace.created_at >= self.since)
        if self.until is not None:
            wanted.append(Trace.created_at < self.until)
        wanted += [_score(text) for text in score or ()]
        if has_feedback is not None:
            said = exists().where(Feedback.trace_id == Trace.id)
            wanted.append(said if has_feedback else ~said)
        if thumbs is not None:
            wanted.append(exists().where(Feedback.trace_id == Trace.id, Feedback.thumbs == thumbs))
        if vector_store is not None:
            wanted.append(
                _from_source(LineageEdge.source.startswith(f"{vector_store}/", autoescape=True))
            )
        if file is not None:
            wanted.append(
                _from_source(
                    or_(
                        LineageEdge.source == file,
                        LineageEdge.source.endswith(f"/{file}", autoescape=True),
                    )
                )
            )
        if q is not None:
            wanted.append(
                or_(
                    Trace.question.icontains(q, autoescape=True),
                    Trace.answer.icontains(q, autoescape=True),
                )
            )
        self.conditions: Final[tuple[ColumnElement[bool], ...]] = tuple(wanted)

    def narrow(self, query: Select[Any]) -> Select[Any]:
        """The query's rows that the filters leave."""
        return query.where(*self.conditions)


def _from_source(source: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists().where(
        LineageEdge.project_id == Trace.project_id, LineageEdge.target == Trace.id, source
    )


def _status(text: str) -> ColumnElement[bool]:
    if text == "ok":
        return Trace.status < _FIRST_ERROR
    if text == "error":
        return Trace.status >= _FIRST_ERROR
    if re.fullmatch(r"[1-5]xx", text):
        first = int(text[0]) * 100
        return Trace.status.between(first, first + 99)
    if re.fullmatch(r"[1-5][0-9]{2}", text):
        return Trace.status == int(text)
    raise _wrong("status", text, "a number such as 503, ok, error, 4xx or 5xx")


def _score(text: str) -> ColumnElement[bool]:
    found = _SCORE.fullmatch(text.strip())
    try:
        bound = float(found[3]) if found else math.nan
    except ValueError:
        bound = math.nan
    if found is None or not math.isfinite(bound):
        raise _wrong("score", text, "NAME, one of < <= > >= =, and a number: groundedness<0.5")
    value = TraceScore.value
    compared = {
        "<": value < bound,
        "<=": value <= bound,
        ">": value > bound,
        ">=": value >= bound,
        "=": value == bound,
    }
    return exists().where(
        TraceScore.trace_id == Trace.id, TraceScore.name == found[1], compared[found[2]]
    )


def _moment(text: str, param: str) -> int:
    """Seconds since the epoch; a time without a zone is UTC."""
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(param, text, "seconds since the epoch, or such as 2026-11-26T08:00") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp())


def _wrong(param: str, value: str, allowed: str) -> InvalidRequest:
    return InvalidRequest(
        f"{param} is {value[:64]!r}; it must be {allowed}.", param=param, code="invalid_value"
    )
