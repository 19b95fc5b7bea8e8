"""The trace that feedback is on, which may not have been written yet."""

import asyncio
from typing import Final

from sqlalchemy.orm import Session

from cluster.records import ResponseRecord, Trace
from deployments.errors import NotFound
from deployments.gateway.services import Services
from deployments.tracing.finding import trace_of_request

__all__ = ["find_trace", "no_such_trace"]

_LOOKS: Final = 3


async def find_trace(parts: Services, field: str, value: str) -> str:
    """Id of the trace that `field` (of TraceReference) names. NotFound where there is none.

    A trace is written within the flush interval of the replica that answered; feedback that comes
    at once waits for it, for three intervals at most.
    """
    for look in range(_LOOKS):
        await parts.traces.flush()
        found = await parts.database.run(
            lambda session: _trace_id(session, field, value), read_only=True
        )
        if found is not None:
            return found
        if look < _LOOKS - 1:
            await asyncio.sleep((look + 1) * parts.settings.tracing.flush_interval_s)
    raise no_such_trace(field, value)


def no_such_trace(field: str, value: str) -> NotFound:
    """What is told of a request that left no trace, or whose trace is gone."""
    return NotFound(
        f"No such request: {field} {value[:128]}. Its trace may be past tracing.retention_days, or "
        "not among those that tracing.sample_rate keeps.",
        param=field,
        code="not_found",
    )


def _trace_id(session: Session, field: str, value: str) -> str | None:
    if field == "response_id":
        stored = session.get(ResponseRecord, value)
        if stored is None or stored.trace_id is None:
            return None
        field, value = "trace_id", stored.trace_id
    if field != "trace_id":
        return trace_of_request(session, value)
    trace = session.get(Trace, value)
    return None if trace is None else trace.id
