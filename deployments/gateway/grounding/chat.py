"""Grounded answers as `/v1/chat/completions` says them: one JSON body, or server-sent events.

Beside OpenAI's fields: `message.annotations` (in a stream: on a last delta) and `grounding`.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

from cluster.records import now
from deployments.errors import InvalidRequest
from deployments.gateway.grounding.annotations import chat_annotation, grounding_summary
from deployments.gateway.grounding.events import AnswerEvent, Finished, TextDelta
from deployments.model.messages import Part

__all__ = ["chat_body", "chat_options", "chat_stream"]

_OURS: Final = frozenset({"model", "messages", "stream", "stream_options", "file_search", "prompt"})
_REFUSED: Final = {
    "tools": "Tools are called by the model, which answers from passages here",
    "functions": "Functions are called by the model, which answers from passages here",
    "logprobs": "Log probabilities do not line up with an answer whose markers are taken out",
    "top_logprobs": "Log probabilities do not line up with an answer whose markers are taken out",
}


def chat_options(body: dict[str, Any]) -> dict[str, Any]:
    """Return what goes to the model as it is. Raises InvalidRequest for what cannot be grounded."""
    for name, reason in _REFUSED.items():
        if body.get(name):
            raise InvalidRequest(
                f"{name} cannot be combined with file_search. {reason}.", param=name
            )
    if body.get("n") not in {None, 1}:
        raise InvalidRequest(f"n is {body['n']!r}; with file_search it must be 1.", param="n")
    return {
        name: value
        for name, value in body.items()
        if name not in _OURS and name not in _REFUSED and value is not None
    }


def _completion_id(request_id: str) -> str:
    """As vLLM makes it of a plain chat: feedback finds the request by it."""
    return f"chatcmpl-{request_id}"


async def chat_body(
    events: AsyncGenerator[AnswerEvent, None], model: str, trace_id: str, request_id: str
) -> AsyncGenerator[Part, None]:
    """Collect the answer into one `chat.completion`."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                body = _completion(event, model, trace_id, request_id)
                yield Part(json.dumps(body, ensure_ascii=False).encode(), event.usage)


def _completion(finished: Finished, model: str, trace_id: str, request_id: str) -> dict[str, Any]:
    message = {
        "role": "assistant",
        "content": finished.text,
        "refusal": None,
        "annotations": [chat_annotation(citation) for citation in finished.citations],
    }
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": finished.finish_reason,
        "logprobs": None,
    }
    return {
        "id": _completion_id(request_id),
        "object": "chat.completion",
        "created": now(),
        "model": model,
        "choices": [choice],
        "usage": _usage(finished),
        "grounding": grounding_summary(finished, trace_id),
        **_guards(finished),
    }


async def chat_stream(
    events: AsyncGenerator[AnswerEvent, None],
    model: str,
    trace_id: str,
    request_id: str,
    *,
    include_usage: bool,
) -> AsyncGenerator[Part, None]:
    """Render `events` as chunks. Closing it closes `events`.

    Nothing is sent before the first text, so that an error until then keeps its status.
    """
    base = {
        "id": _completion_id(request_id),
        "object": "chat.completion.chunk",
        "created": now(),
        "model": model,
    }
    nothing = {"usage": None} if include_usage else {}

    def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
        return _sse({**base, "choices": [choice], **nothing, **more})

    opening = chunk({"role": "assistant", "content": ""})
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                yield Part(opening + chunk({"content": event.text}))
                opening = b""
            elif isinstance(event, Finished):
                annotations = [chat_annotation(citation) for citation in event.citations]
                summary = grounding_summary(event, trace_id)
                more = {"grounding": summary, **_guards(event)}
                last = opening + chunk({"annotations": annotations}, **more)
                last += chunk({}, event.finish_reason)
                if include_usage:
                    last += _sse({**base, "choices": [], "usage": _usage(event)})
                yield Part(last + b"data: [DONE]\n\n", event.usage)


def _guards(finished: Finished) -> dict[str, Any]:
    return {"guards": list(finished.guards)} if finished.guards else {}


def _usage(finished: Finished) -> dict[str, int]:
    used = finished.usage
    return {
        "prompt_tokens": used.prompt_tokens,
        "completion_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }


def _sse(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
