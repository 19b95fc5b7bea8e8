"""Traces by what a client knows of its request."""

from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.records import Trace

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["trace_of_request"]

_PREFIXES: Final = ("chatcmpl-", "cmpl-")


def trace_of_request(session: "Session", name: str) -> str | None:
    """The newest trace of a request's id, or of a completion's, which is made of it."""
    prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
    query = select(Trace.id).where(Trace.request_id == name.removeprefix(prefix))
    return session.scalar(query.order_by(Trace.id.desc()).limit(1))
