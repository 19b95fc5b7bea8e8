"""Which feedback a list holds."""

from typing import Annotated, Literal

from fastapi import Query
from sqlalchemy import ColumnElement, Select, or_, select

from cluster.records import Feedback, Trace

__all__ = ["FeedbackFilters"]

Epoch = Annotated[int | None, Query(ge=0, lt=2**62, description="Seconds since the epoch.")]
Text = Annotated[str | None, Query(max_length=256)]


class FeedbackFilters:
    """FastAPI dependency: query parameters that all have to hold."""

    def __init__(
        self,
        trace_id: Text = None,
        name: Text = None,
        thumbs: Literal["up", "down"] | None = None,
        review: Literal["pending", "accepted", "rejected"] | None = None,
        source: Literal["api", "end_user"] | None = None,
        has_correction: bool | None = None,
        since: Epoch = None,
        until: Epoch = None,
        model: Annotated[
            str | None, Query(max_length=256, description="Which answered: a model or an alias.")
        ] = None,
        prompt_version: Text = None,
        experiment: Annotated[str | None, Query(max_length=64, description="Its id.")] = None,
    ) -> None:
        equal = {
            Feedback.trace_id: trace_id,
            Feedback.name: name,
            Feedback.thumbs: thumbs,
            Feedback.review: review,
            Feedback.source: source,
        }
        self._own: list[ColumnElement[bool]] = [
            column == value for column, value in equal.items() if value is not None
        ]
        if has_correction is not None:
            missing = Feedback.correction.is_(None)
            self._own.append(~missing if has_correction else missing)
        if since is not None:
            self._own.append(Feedback.created_at >= since)
        if until is not None:
            self._own.append(Feedback.created_at <= until)
        self._of_trace: list[ColumnElement[bool]] = []
        if model is not None:
            self._of_trace.append(or_(Trace.model == model, Trace.alias == model))
        if prompt_version is not None:
            self._of_trace.append(Trace.prompt_version == prompt_version)
        if experiment is not None:
            self._of_trace.append(Trace.experiment_id == experiment)

    def narrow(self, query: Select[Feedback]) -> Select[Feedback]:
        """The query's rows that the filters leave."""
        query = query.where(*self._own)
        if not self._of_trace:
            return query
        traces = select(Trace.id).where(Trace.id == Feedback.trace_id, *self._of_trace)
        return query.where(traces.exists())
