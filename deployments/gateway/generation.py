"""From an HTTP request to a model and back, with as little work per token as can be.

The replica sends bytes that are ready for the socket; here they are only passed on. The first
message is awaited before the status line, so that an error has its own status; a later one becomes
an event of the stream, never a silent end. A client that goes stops the generation at once.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Literal

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from deployments.errors import InvalidRequest, RequestError
from deployments.experiments.requests import EMPTY_ANSWER
from deployments.gateway.closing import close_parts
from deployments.gateway.directory import Target
from deployments.gateway.error_bodies import error_events, internal_error
from deployments.gateway.request_context import (
    current_trace,
    is_background,
    remaining_s,
    request_id,
)
from deployments.gateway.token_estimate import MOST_CHOICES
from deployments.model.messages import ModelCall, Part, Usage
from deployments.tracing.draft import CLIENT_CLOSED, TraceDraft

__all__ = ["answer", "answer_unseen", "model_call", "read_body"]

_log = logging.getLogger(__name__)
_STREAM_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_AMOUNTS: Final = ("n", "max_tokens", "max_completion_tokens")


async def read_body(request: Request) -> dict[str, Any]:
    """The request's JSON object. What else its fields may hold is checked in the replica."""
    try:
        body = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"The request body is not valid JSON: {error}.", code="invalid_json"
        ) from None
    if not isinstance(body, dict):
        raise InvalidRequest("The request body must be a JSON object.", code="invalid_json")
    if not isinstance(body.get("model"), str):
        raise InvalidRequest("model is required.", param="model", code="missing_parameter")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest("stream must be true or false.", param="stream", code="invalid_value")
    _check_amounts(body)
    return body


def _check_amounts(body: dict[str, Any]) -> None:
    """What the queue orders calls by must be what the replica will read."""
    for name in _AMOUNTS:
        value = body.get(name)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidRequest(
                f"{name} is {str(value)[:32]!r}; it must be an integer.",
                param=name,
                code="invalid_value",
            )
    if (choices := body.get("n")) is not None and choices > MOST_CHOICES:
        raise InvalidRequest(
            f"n is {str(choices)[:32]}; at most {MOST_CHOICES} answers are given at once.",
            param="n",
            code="invalid_value",
        )


def model_call(
    request: Request, body: dict[str, Any], kind: Literal["chat", "completion"], target: Target
) -> ModelCall:
    """The call that carries `body` to a replica of `target`."""
    return ModelCall(
        kind=kind,
        body={**body, "model": target.name},
        request_id=request_id(request),
        deadline_s=remaining_s(request),
        adapter=target.adapter,
        background=is_background(request),
    )


async def answer(
    request: Request,
    parts: AsyncIterator[Part],
    *,
    streamed: bool,
    read_answer: Callable[[bytes], str],
    ended: Callable[[], None] = lambda: None,
) -> Response:
    """Answer with `parts`. `read_answer` finds the answer's text in all of their bytes.

    `ended` is called once the model has said all, or the client has gone.
    """
    outcome = _Outcome(current_trace(request), read_answer, ended)
    gone = asyncio.ensure_future(_client_gone(request.receive))
    first = asyncio.ensure_future(anext(parts, None))
    handed_on = False
    try:
        await asyncio.wait({first, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not first.done():
            outcome.trace.leave()
            return Response(status_code=CLIENT_CLOSED)
        part = first.result() or Part(b"")
        outcome.add(part)
        handed_on = streamed
        if streamed:
            return _Stream(part, parts, gone, outcome)
        return Response(part.data, media_type="application/json")
    finally:
        if not handed_on:
            gone.cancel()
            first.cancel()
            await asyncio.wait({first})
            await close_parts(parts)
            outcome.close()


async def answer_unseen(
    trace: TraceDraft, parts: AsyncIterator[Part], read_answer: Callable[[bytes], str]
) -> None:
    """Take `parts` to their end for the trace alone. Raises what they raise."""
    outcome = _Outcome(trace, read_answer, lambda: None)
    try:
        async for part in parts:
            outcome.add(part)
    finally:
        await close_parts(parts)
        outcome.close()


class _Stream(Response):
    """Passes parts on until they end, the client goes or the deadline of the request passes."""

    def __init__(
        self,
        first: Part,
        parts: AsyncIterator[Part],
        gone: "asyncio.Future[None]",
        outcome: "_Outcome",
    ) -> None:
        super().__init__()
        self.raw_headers = _STREAM_HEADERS
        self._first = first
        self._parts = parts
        self._gone = gone
        self._outcome = outcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - an ASGI application runs in a task
        gone = self._gone
        gone.add_done_callback(lambda done: None if done.cancelled() else task.cancel())
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": list(self.raw_headers)}
            )
            await self._send(self._first.data, send)
            async for part in self._parts:
                self._outcome.add(part)
                await self._send(part.data, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except RequestError as error:
            await self._fail(error, send)
        except asyncio.CancelledError:
            if not (gone.done() and not gone.cancelled()):
                raise  # Serve saw the client go before we did, or the deadline, or a shutdown
            task.uncancel()
            self._outcome.trace.leave()
        except Exception:  # noqa: BLE001 - the edge of a stream: it has no silent end
            request_id = self._outcome.trace.request_id
            _log.exception("The stream of request %s failed", request_id)
            await self._fail(internal_error(request_id), send)
        finally:
            gone.cancel()
            await close_parts(self._parts)
            self._outcome.close()

    async def _fail(self, error: RequestError, send: Send) -> None:
        self._outcome.trace.fail(error)
        body = error_events(error)
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _send(self, data: bytes, send: Send) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})


class _Outcome:
    """Writes what happened into the trace, once it is over."""

    def __init__(
        self,
        trace: TraceDraft,
        read_answer: Callable[[bytes], str],
        ended: Callable[[], None],
    ) -> None:
        self.trace = trace
        self._read_answer = read_answer
        self._ended = ended
        self._started = time.perf_counter()
        self._data: list[bytes] = []
        self._usage: Usage | None = None

    def add(self, part: Part) -> None:
        """Note a part."""
        if not self._data:
            elapsed = time.perf_counter() - self._started
            self.trace.timings_ms["first_token"] = elapsed * 1000
        if part.resumed is not None:
            self.trace.went_on(part.resumed)
        self._data.append(part.data)
        self._usage = part.usage or self._usage

    def close(self) -> None:
        """Write the answer and its tokens down."""
        if "generate" in self.trace.began_ms and "generate" not in self.trace.timings_ms:
            self.trace.end("generate")
        data = b"".join(self._data)
        if self.trace.answer is None:
            with contextlib.suppress(ValueError):  # a trace without its answer is no failure
                self.trace.answer = self._read_answer(data)
        text = self.trace.answer
        if text is not None and not text.strip() and b'"tool_calls"' not in data:
            self.trace.body[EMPTY_ANSWER] = True
        if self._usage is not None:
            self.trace.body["tokens"] = {
                "prompt": self._usage.prompt_tokens,
                "completion": self._usage.completion_tokens,
            }
        self._ended()


async def _client_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
