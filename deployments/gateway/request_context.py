"""What the middleware knows about the running request, for the routes."""

import time
from typing import cast

from fastapi import Request

from deployments.tracing.draft import TraceDraft

__all__ = ["current_trace", "is_background", "remaining_s", "request_id"]


def request_id(request: Request) -> str:
    """Return the identifier that `x-request-id` tells the client."""
    return cast(str, request.state.request_id)


def current_trace(request: Request) -> TraceDraft:
    """Return the trace whose id `x-trace-id` tells the client.

    Set its `route` to have it recorded: requests that leave it empty leave no trace. The middleware
    sets the status and hands it to the TraceWriter once the response has ended.
    """
    return cast(TraceDraft, request.state.trace)


def remaining_s(request: Request) -> float:
    """Seconds until the request's deadline; never below zero."""
    return max(0.0, cast(float, request.state.deadline) - time.monotonic())


def is_background(request: Request) -> bool:
    """Whether the request gives way to those of users; see `background.py`."""
    return bool(getattr(request.state, "background", False))
