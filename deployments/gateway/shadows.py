"""Shadow arms: the request again, once its user has the answer, for the trace alone."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from deployments.errors import DeadlineExceeded, RequestError
from deployments.gateway.measures import measures
from deployments.tracing.draft import TraceDraft

if TYPE_CHECKING:
    from deployments.gateway.choosing import ShadowArm
    from deployments.tracing.writer import TraceWriter

__all__ = ["Shadows", "shadow_trace"]

_log = logging.getLogger(__name__)


class Shadows:
    """Shadow requests that one gateway replica holds: at most `most`; others are left out."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._tasks: Final[set[asyncio.Task[None]]] = set()
        self.left_out = 0
        """Shadow requests that had no place."""

    @property
    def running(self) -> int:
        """Those under way."""
        return len(self._tasks)

    def start(
        self,
        trace: TraceDraft,
        work: Callable[[TraceDraft], Awaitable[None]],
        traces: "TraceWriter",
        timeout_s: float,
    ) -> None:
        """Do `work` in the background and record `trace`, which is its own. Never raises."""
        if len(self._tasks) >= self._most:
            self.left_out += 1
            measures().shadow_left_out()
            return
        task = asyncio.get_running_loop().create_task(_shadow(trace, work, traces, timeout_s))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break them off."""
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def shadow_trace(real: TraceDraft, shadow: "ShadowArm") -> TraceDraft:
    """The trace of a shadow of the request that `real` is of."""
    trace = TraceDraft(
        request_id=real.request_id,
        route=real.route,
        alias=real.alias,
        user_id=real.user_id,
        question=real.question,
        experiment_id=shadow.experiment_id,
        arm=shadow.arm.name,
        shadow_of=real.id,
    )
    if "metadata" in real.body:
        trace.body["metadata"] = real.body["metadata"]
    return trace


async def _shadow(
    trace: TraceDraft,
    work: Callable[[TraceDraft], Awaitable[None]],
    traces: "TraceWriter",
    timeout_s: float,
) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await work(trace)
    except RequestError as error:
        trace.fail(error)
    except TimeoutError:
        trace.fail(DeadlineExceeded(f"Not done within {timeout_s:g} s.", code="deadline_exceeded"))
    except Exception as error:  # noqa: BLE001 - the task's edge: nobody waits for it
        _log.warning("The shadow of %s failed", trace.shadow_of, exc_info=True)
        trace.fail(RequestError(f"{type(error).__name__}: {error}", code="internal_error"))
    traces.record(trace)
