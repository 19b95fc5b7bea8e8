"""`POST /v1/chat/completions`."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from deployments.errors import InvalidRequest
from deployments.gateway.chains import Chain, counted
from deployments.gateway.choosing import Choice, choose
from deployments.gateway.closing import close_parts
from deployments.gateway.generation import answer, model_call, read_body
from deployments.gateway.guarded_parts import guarded
from deployments.gateway.guarding import RequestGuards
from deployments.gateway.prompting import question_of, told_messages, told_options
from deployments.gateway.relieving import relieved
from deployments.gateway.request_context import (
    current_trace,
    is_background,
    remaining_s,
    request_id,
)
from deployments.gateway.services import Services, services
from deployments.gateway.shadows import start_shadows
from deployments.gateway.users import USER_HEADER
from deployments.guards.checks.schema import demanded_schema
from deployments.model.messages import ModelCall, Part
from deployments.tracing.inputs import request_input

__all__ = ["router"]

_STREAMING: Final = frozenset({"stream", "stream_options"})
_ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")

router = APIRouter()


@router.post("/v1/chat/completions", tags=["chat"])
async def create_chat_completion(
    request: Request, services: Annotated[Services, Depends(services)]
) -> Response:
    """Answer a conversation, with `file_search` in the body from the documents of vector stores.

    Takes OpenAI's body and streams its events. `file_search` and `prompt` are ours (`extra_body` of
    the client); with a prompt, `messages` may be empty.
    """
    body = await read_body(request)
    messages = _messages(body)
    trace = current_trace(request)
    trace.route = "/v1/chat/completions"
    guards = services.guard(trace)
    messages, prompt = await guards.read(messages, body.get("prompt"))
    body |= {"messages": messages} | ({} if prompt is None else {"prompt": prompt})
    trace.body["input"] = request_input(
        messages, body, services.settings.tracing.max_input_characters
    )
    grounded = body.get("file_search") is not None
    user = request.headers.get(USER_HEADER)
    background = is_background(request)
    choice = await choose(services, body, trace, user, grounded=grounded, background=background)
    choice = relieved(request, services, choice, grounded=grounded)
    trace.question = question_of(messages)
    if isinstance(metadata := body.get("metadata"), dict):
        trace.body["metadata"] = metadata
    whole = {name: value for name, value in body.items() if name not in _STREAMING}
    return await answer(
        request,
        _parts(request, services, body, messages, choice, guards),
        streamed=bool(body.get("stream")),
        read_answer=answer_text,
        ended=lambda: start_shadows(
            request,
            services,
            choice,
            whole,
            lambda again, chosen: _parts(
                again, services, whole, messages, chosen, services.guard(current_trace(again))
            ),
            answer_text,
        ),
    )


def _parts(
    request: Request,
    services: Services,
    body: dict[str, Any],
    messages: list[dict[str, Any]],
    choice: Choice,
    guards: RequestGuards,
) -> AsyncIterator[Part]:
    if choice.prompt is not None:
        return _prompted(request, services, body, messages, choice, guards)
    call = model_call(request, body, "chat", choice.target)
    if body.get("file_search") is not None:
        return services.answerer.chat(call, current_trace(request), choice, guards)
    return _generated(request, services, call, choice, guards)


def _generated(
    request: Request, services: Services, call: ModelCall, choice: Choice, guards: RequestGuards
) -> AsyncIterator[Part]:
    """Ask the model, and nothing but the model."""

    def parts() -> AsyncIterator[Part]:
        current_trace(request).begin("generate")
        generated = services.models[choice.target.base].generate(call)
        return generated if choice.prompt is None else counted(generated, choice.spent)

    schema = demanded_schema(call.body.get("response_format"))
    return guarded(guards, parts, streamed=bool(call.body.get("stream")), schema=schema)


async def _prompted(
    request: Request,
    services: Services,
    body: dict[str, Any],
    messages: list[dict[str, Any]],
    choice: Choice,
    guards: RequestGuards,
) -> AsyncGenerator[Part, None]:
    """Run the prompt's steps, then answer by it."""
    trace = current_trace(request)
    await guards.passed()
    grounded = body.get("file_search") is not None
    chain = Chain(
        services,
        trace,
        request_id=request_id(request),
        deadline_s=remaining_s(request),
        background=is_background(request),
        grounded=grounded,
        options=body,
    )
    choice = await chain.run(choice, messages)
    assert choice.prompt is not None  # noqa: S101 - it is why this is called
    body = {name: value for name, value in body.items() if name != "prompt"}
    if grounded:
        call = model_call(request, body, "chat", choice.target)
        parts: AsyncIterator[Part] = services.answerer.chat(call, trace, choice, guards)
    else:
        told = told_messages(choice.prompt, choice.variables, messages)
        trace.body["messages"] = told
        body = {**told_options(choice.prompt, body), "messages": told}
        call = model_call(request, body, "chat", choice.target)
        parts = _generated(request, services, call, choice, guards)
    try:
        async for part in parts:
            yield part
    finally:
        await close_parts(parts)


def _messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not messages and isinstance(messages, list | None) and body.get("prompt") is not None:
        return []
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
