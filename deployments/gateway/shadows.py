"""Shadow arms: the request again, once its user has the answer, for the trace alone."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from fastapi import Request

from deployments.errors import DeadlineExceeded, RequestError
from deployments.gateway.measures import measures
from deployments.gateway.request_context import current_trace, request_id
from deployments.limits.lease import holding
from deployments.model.messages import Part
from deployments.tracing.draft import TraceDraft

if TYPE_CHECKING:
    from deployments.gateway.choosing import Choice, ShadowArm
    from deployments.gateway.services import Services

__all__ = ["Shadows", "start_shadows"]

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

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work` in the background, where there is a place for it. Never raises."""
        if len(self._tasks) >= self._most:
            self.left_out += 1
            measures().shadow_left_out()
            return
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Break them off."""
        for task in list(self._tasks):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def start_shadows(
    request: Request,
    services: "Services",
    choice: "Choice",
    body: dict[str, Any],
    answer: "Callable[[Request, Choice], AsyncIterator[Part]]",
    read_answer: Callable[[bytes], str],
) -> None:
    """Ask the shadow arms of `choice` the same, behind users' requests.

    `answer` makes the parts of a shadow's answer, from a request that is the user's but for its
    trace, its deadline and its priority. `body` has the client's `prompt`, if there is one.
    """
    for shadow in choice.shadows:
        services.shadows.start(
            partial(_shadow, request, services, shadow, body, answer, read_answer)
        )


async def _shadow(
    request: Request,
    services: "Services",
    shadow: "ShadowArm",
    body: dict[str, Any],
    answer: "Callable[[Request, Choice], AsyncIterator[Part]]",
    read_answer: Callable[[bytes], str],
) -> None:
    from deployments.gateway.choosing import choose_shadow
    from deployments.gateway.generation import answer_unseen

    trace = _trace(current_trace(request), shadow)
    timeout_s = services.settings.http.request_timeout_s
    again = _again(request, trace, timeout_s)
    try:
        lease = services.limiter.unbounded(trace.project_id)
        with holding(lease):  # its tokens count as the project's, and not against the user's rates
            async with asyncio.timeout(timeout_s):
                chosen = await choose_shadow(services, shadow, body, trace)
                await answer_unseen(trace, answer(again, chosen), read_answer)
    except RequestError as error:
        trace.fail(error)
    except TimeoutError:
        trace.fail(DeadlineExceeded(f"Not done within {timeout_s:g} s.", code="deadline_exceeded"))
    except Exception as error:  # noqa: BLE001 - the task's edge: nobody waits for it
        _log.warning("The shadow of %s failed", trace.shadow_of, exc_info=True)
        trace.fail(RequestError(f"{type(error).__name__}: {error}", code="internal_error"))
    services.traces.record(trace)


def _trace(real: TraceDraft, shadow: "ShadowArm") -> TraceDraft:
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
    for name in ("metadata", "input"):
        if name in real.body:
            trace.body[name] = real.body[name]
    return trace


def _again(request: Request, trace: TraceDraft, timeout_s: float) -> Request:
    state = {
        **request.scope["state"],
        "trace": trace,
        "request_id": f"{request_id(request)}-{trace.arm}",
        "deadline": time.monotonic() + timeout_s,
        "background": True,
    }
    return Request({**request.scope, "state": state})
