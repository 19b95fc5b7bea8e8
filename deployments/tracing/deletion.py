"""Traces go, with what is theirs: scores, feedback, question vectors, edges of their lineage.

Edges of kind `row` stay: what a model has learnt from does not change when the trace is gone.
Stored responses stay too; they have an API of their own.
"""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete
from sqlalchemy.orm import Session

from cluster.records import Feedback, LineageEdge, QuestionVector, Trace, TraceScore

__all__ = ["ROW_EDGE", "delete_traces"]

ROW_EDGE: Final = "row"
"""Kind of the edge from a trace to a dataset that holds a row of it."""


def delete_traces(session: Session, ids: Sequence[str]) -> int:
    """Delete these traces; how many there were."""
    session.execute(delete(TraceScore).where(TraceScore.trace_id.in_(ids)))
    session.execute(delete(Feedback).where(Feedback.trace_id.in_(ids)))
    session.execute(delete(QuestionVector).where(QuestionVector.trace_id.in_(ids)))
    session.execute(
        delete(LineageEdge).where(
            LineageEdge.source.in_(ids) | LineageEdge.target.in_(ids),
            LineageEdge.kind != ROW_EDGE,
        )
    )
    gone = session.execute(delete(Trace).where(Trace.id.in_(ids)))
    return int(getattr(gone, "rowcount", 0))
