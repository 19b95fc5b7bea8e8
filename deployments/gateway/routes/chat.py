"""`POST /v1/chat/completions`."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from deployments.errors import InvalidRequest
from deployments.gateway.choosing import Choice, ShadowArm, choose, choose_shadow
from deployments.gateway.generation import answer, answer_unseen, model_call, read_body
from deployments.gateway.request_context import current_trace, is_background
from deployments.gateway.services import Services, services
from deployments.gateway.shadows import shadow_trace
from deployments.gateway.users import USER_HEADER
from deployments.model.messages import ModelCall, Part
from deployments.tracing.draft import TraceDraft

__all__ = ["router"]

_STREAMING: Final = frozenset({"stream", "stream_options"})
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")

router = APIRouter()


@router.post("/v1/chat/completions", tags=["chat"])
async def create_chat_completion(
    request: Request, services: Annotated[Services, Depends(services)]
) -> Response:
    """Answer a conversation, with `file_search` in the body from the documents of vector stores.

    Takes OpenAI's body and streams its events. `file_search` is ours (`extra_body` of the client).
    """
    body = await read_body(request)
    messages = _messages(body)
    trace = current_trace(request)
    trace.route = "/v1/chat/completions"
    choice = await choose(
        services,
        body,
        trace,
        request.headers.get(USER_HEADER),
        background=is_background(request),
    )
    trace.question = _last_question(messages)
    if isinstance(metadata := body.get("metadata"), dict):
        trace.body["metadata"] = metadata
    call = model_call(request, body, "chat", choice.target)
    return await answer(
        request,
        _parts(services, call, trace, choice),
        streamed=bool(body.get("stream")),
        read_answer=answer_text,
        ended=lambda: _start_shadows(services, call, trace, choice),
    )


def _parts(
    services: Services, call: ModelCall, trace: TraceDraft, choice: Choice
) -> AsyncIterator[Part]:
    if call.body.get("file_search") is not None:
        return services.answerer.chat(call, trace, choice)
    return services.models[choice.target.base].generate(call)


def _start_shadows(services: Services, call: ModelCall, trace: TraceDraft, choice: Choice) -> None:
    """Ask the shadow arms the same, unseen and behind users' requests."""
    body = {key: value for key, value in call.body.items() if key not in _STREAMING}
    timeout_s = services.settings.http.request_timeout_s
    for shadow in choice.shadows:

        async def work(unseen: TraceDraft, shadow: ShadowArm = shadow) -> None:
            chosen = await choose_shadow(services, shadow, body, unseen)
            asked = replace(
                call,
                body={**body, "model": chosen.target.name},
                request_id=f"{call.request_id}-{shadow.arm.name}",
                deadline_s=timeout_s,
                adapter=chosen.target.adapter,
                background=True,
            )
            await answer_unseen(unseen, _parts(services, asked, unseen, chosen), answer_text)

        services.shadows.start(shadow_trace(trace, shadow), work, services.traces, timeout_s)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidRequest(
            "messages must be a list of at least one message.",
            param="messages",
            code="missing_parameter" if messages is None else "invalid_value",
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(
                f"messages.{index} must be an object with a role.",
                param=f"messages.{index}",
                code="invalid_value",
            )
        if message["role"] not in _ROLES:
            raise InvalidRequest(
                f"messages.{index}.role is {message['role'][:64]!r}; allowed: {', '.join(_ROLES)}.",
                param=f"messages.{index}.role",
                code="invalid_value",
            )
    return messages


def _last_question(messages: list[dict[str, Any]]) -> str | None:
    for message in reversed(messages):
        if message["role"] == "user":
            return _text(message.get("content"))
    return None


def _text(content: Any) -> str | None:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else None


def answer_text(data: bytes) -> str:
    """The text of the first choice, from a body or from the events of a stream."""
    if not data.startswith(b"data: "):
        choices = json.loads(data or b"{}").get("choices") or [{}]
        return (choices[0].get("message") or {}).get("content") or ""
    texts = []
    for event in data.split(b"\n\n"):
        if event.startswith(b"data: {"):
            for choice in json.loads(event[6:]).get("choices") or []:
                if choice.get("index") == 0:
                    texts.append((choice.get("delta") or {}).get("content") or "")
    return "".join(texts)
