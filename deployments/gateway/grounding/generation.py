"""A model's answer stream as text: server-sent events in, pieces of text out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from cluster.adapters import AdapterFiles
from deployments.gateway.closing import close_parts
from deployments.model.messages import ModelCall, Part, Resumed, Usage
from deployments.ports import ChatModel

__all__ = ["Generated", "generate_text"]


@dataclass(frozen=True, slots=True)
class Generated:
    """A piece of the answer; `finish_reason` and `usage` come with the last ones."""

    text: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    resumed: Resumed | None = None
    """What follows comes from another replica than what was before."""


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
        async for part in parts:
            if part.resumed is not None:
                yield Generated(resumed=part.resumed)
            for event in part.data.decode().split("\n\n"):
                payload = event.strip().removeprefix("data:").strip()
                if payload and payload != "[DONE]":
                    yield _read(json.loads(payload))


async def _closable(model: ChatModel, call: ModelCall) -> AsyncGenerator[Part, None]:
    parts = model.generate(call)
    try:
        async for part in parts:
            yield part
    finally:
        await close_parts(parts)


def _read(event: dict[str, Any]) -> Generated:
    usage = event.get("usage")
    used = Usage(usage["prompt_tokens"], usage.get("completion_tokens", 0)) if usage else None
    choices = event.get("choices") or [{}]
    text = (choices[0].get("delta") or {}).get("content") or ""
    return Generated(text, choices[0].get("finish_reason"), used)
