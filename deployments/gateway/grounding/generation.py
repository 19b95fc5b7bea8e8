"""A model's answer stream as text: server-sent events in, pieces of text out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cluster.adapters import AdapterFiles
from deployments.errors import DeadlineExceeded, InvalidRequest, RequestError, Unavailable
from deployments.gateway.closing import close_parts
from deployments.model.messages import ModelCall, Usage
from deployments.ports import ChatModel

__all__ = ["Generated", "generate_text"]


@dataclass(frozen=True, slots=True)
class Generated:
    """A piece of the answer; `finish_reason` and `usage` come with the last ones."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None


async def generate_text(
    model: ChatModel,
    body: dict[str, Any],
    request_id: str,
    deadline_s: float,
    adapter: AdapterFiles | None = None,
    *,
    background: bool = False,
) -> AsyncGenerator[Generated, None]:
    """Run the chat `body` as a stream. Closing the generator stops the generation.

    Raises RequestError, before the first piece or in the middle.
    """
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    call = ModelCall("chat", streamed, request_id, deadline_s, adapter, background)
    async with aclosing(_closable(model, call)) as parts:
        async for data in parts:
            for event in data.decode().split("\n\n"):
                payload = event.strip().removeprefix("data:").strip()
                if payload and payload != "[DONE]":
                    yield _read(json.loads(payload))


async def _closable(model: ChatModel, call: ModelCall) -> AsyncGenerator[bytes, None]:
    """Take the parts' bytes."""
    parts = model.generate(call)
    try:
        async for part in parts:
            yield part.data
    finally:
        await close_parts(parts)


def _read(event: dict[str, Any]) -> Generated:
    if "error" in event:
        raise _error(event["error"])
    usage = event.get("usage")
    used = Usage(usage["prompt_tokens"], usage.get("completion_tokens", 0)) if usage else None
    choices = event.get("choices") or [{}]
    text = (choices[0].get("delta") or {}).get("content") or ""
    return Generated(text, choices[0].get("finish_reason"), used)


def _error(error: dict[str, Any]) -> RequestError:
    message, code, param = str(error.get("message")), error.get("code"), error.get("param")
    if code == "deadline_exceeded":
        return DeadlineExceeded(message, code=code)
    if error.get("type") == "invalid_request_error":
        return InvalidRequest(message, code=code, param=param)
    return Unavailable(message, code=code)
