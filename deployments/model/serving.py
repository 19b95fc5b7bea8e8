"""One call on one engine: deadline, coalescing, errors in a started stream, and what is counted."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.adapters import AdapterFiles
from deployments.errors import (
    ENGINE_FAILED,
    DeadlineExceeded,
    InvalidRequest,
    RequestError,
    Unavailable,
)
from deployments.model.adapter_cache import AdapterCache
from deployments.model.coalescing import coalesced, tokens_a_message
from deployments.model.messages import BEAT_S, ModelCall, Part, Usage
from deployments.model.token_events import TokenReader

__all__ = ["ChatEngine", "ChatServing", "ReplicaStats"]

_log = logging.getLogger(__name__)


class ChatEngine(Protocol):
    """What a replica needs of an engine. vLLM's is in `vllm_engine.py`, tests have a light one."""

    def run(self, call: ModelCall) -> AsyncGenerator[bytes, None]:
        """Server-sent events, one per token, or one JSON body where the call does not stream.

        A stream always tells its usage in the event before `[DONE]`, and the `token_ids` of each
        event where one choice is asked for. With `call.resume` it goes on behind those tokens.
        Raises RequestError. Closing the iterator aborts the generation. The adapter that `call`
        names is loaded until then.
        """
        ...

    async def check(self) -> None:
        """Raise when the engine is known to be dead."""
        ...

    async def answer(self) -> None:
        """Return once the engine has come past the end of a step."""
        ...

    async def probe(self) -> None:
        """Generate one token."""
        ...

    def unfinished(self) -> int:
        """Requests that the engine still holds."""
        ...

    def kill(self) -> None:
        """End the engine's processes at once."""
        ...


@dataclass(slots=True)
class ReplicaStats:
    """What a replica has done since it started."""

    running: int = 0
    """Calls in flight."""
    unfinished: int = 0
    """Requests that the engine holds, running and waiting."""
    started: int = 0
    finished: int = 0
    failed: int = 0
    stopped_early: int = 0
    """Generations that ended because the client went or the deadline passed."""
    background: int = 0
    """Calls in flight that give way to users' requests."""
    capacity: int = 0
    """Calls that it takes at once."""
    adapters: tuple[str, ...] = ()
    """Ids of the adapters that are loaded."""


class ChatServing:
    """Runs calls on an engine."""

    def __init__(
        self,
        engine: ChatEngine,
        coalesce_ms: float,
        adapters: AdapterCache | None = None,
        beat_s: float = BEAT_S,
    ) -> None:
        self._engine = engine
        self._coalesce_ms = coalesce_ms
        self._adapters = adapters
        self._beat_s = beat_s
        self._stats = ReplicaStats()

    def stats(self) -> ReplicaStats:
        """What was done so far."""
        self._stats.unfinished = self._engine.unfinished()
        return self._stats

    def adapter(
        self, adapter: AdapterFiles | None, wait_s: float
    ) -> AbstractAsyncContextManager[None]:
        """Holds an adapter in the engine; see `AdapterCache.use`."""
        if adapter is None:
            return nullcontext()
        if self._adapters is None:
            raise InvalidRequest(
                f"Adapter {adapter.id} cannot be used: `max_adapters` of its model is 0.",
                param="model",
                code="adapters_off",
            )
        return self._adapters.use(adapter, wait_s)

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        """Run `call`; see `deployments.ports.ChatModel.generate`."""
        stats = self._stats
        stats.started += 1
        stats.running += 1
        stats.background += call.background
        ended = False
        parts = self._streamed(call) if call.body.get("stream") else self._whole(call)
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
            ended = True
            stats.finished += 1
        except DeadlineExceeded:
            raise
        except RequestError:
            ended = True
            stats.failed += 1
            raise
        finally:
            stats.running -= 1
            stats.background -= call.background
            stats.stopped_early += not ended

    async def _whole(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        bodies = coalesced(self._outputs(call), lambda: 1, 0.0, self._beat_s)
        async with aclosing(bodies):
            async for body in bodies:
                yield Part(body, _usage(json.loads(body).get("usage")) if body else None)

    async def _streamed(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        events = _Events(self._outputs(call), _wants_usage(call.body))
        messages = coalesced(
            events.read(),
            lambda: tokens_a_message(self._stats.running),
            self._coalesce_ms / 1000,
            self._beat_s,
        )
        reader = TokenReader(call)
        async with aclosing(messages):
            async for data in messages:
                yield reader.part(data, events.usage) if data else Part(b"")

    async def _outputs(self, call: ModelCall) -> AsyncGenerator[bytes, None]:
        """The engine's outputs, until the deadline."""
        due = asyncio.get_running_loop().time() + call.deadline_s
        async with (
            self.adapter(call.adapter, call.deadline_s),
            aclosing(self._engine.run(call)) as outputs,
        ):
            while True:
                try:
                    async with asyncio.timeout_at(due) as clock:
                        output = await anext(outputs)
                except StopAsyncIteration:
                    return
                except TimeoutError as error:
                    if not clock.expired():
                        raise
                    raise _too_late(call) from error
                except RequestError as error:
                    # Where it does not stream, vLLM turns a cancellation into an error of its own.
                    if clock.expired():
                        raise _too_late(call) from error
                    if _cancelled():
                        raise asyncio.CancelledError from error
                    raise
                except Exception as error:  # the engine's edge: whatever it was
                    _log.exception("The engine failed on request %s", call.request_id)
                    raise Unavailable(
                        "The engine failed and is being replaced; try again.",
                        code=ENGINE_FAILED,
                        retry_after_s=10,
                    ) from error
                yield output


class _Events:
    """Passes events on, and keeps the usage, which the client sees only if it asked for it."""

    def __init__(self, outputs: AsyncGenerator[bytes, None], wanted: bool) -> None:
        self._outputs = outputs
        self._wanted = wanted
        self.usage: Usage | None = None

    async def read(self) -> AsyncGenerator[bytes, None]:
        """The events for the client."""
        async with aclosing(self._outputs) as outputs:
            async for event in outputs:
                if b'"choices":[]' in event:
                    self.usage = _usage(json.loads(event.removeprefix(b"data: ")).get("usage"))
                    if not self._wanted:
                        continue
                yield event


def _too_late(call: ModelCall) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"The answer was not finished within {call.deadline_s:g} s.", code="deadline_exceeded"
    )


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _wants_usage(body: dict[str, Any]) -> bool:
    options = body.get("stream_options")
    return isinstance(options, dict) and bool(options.get("include_usage"))


def _usage(body: dict[str, Any] | None) -> Usage:
    body = body or {}
    return Usage(int(body.get("prompt_tokens") or 0), int(body.get("completion_tokens") or 0))
