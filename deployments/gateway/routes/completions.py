"""`POST /v1/completions`."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from deployments.errors import InvalidRequest
from deployments.gateway.choosing import Choice
from deployments.gateway.generation import answer, model_call, read_body
from deployments.gateway.guarded_parts import guarded
from deployments.gateway.relieving import relieved
from deployments.gateway.request_context import current_trace
from deployments.gateway.services import Services, services
from deployments.guards.verdict import GuardText
from deployments.model.messages import Part
from deployments.tracing.inputs import request_input

__all__ = ["router"]

_MOST_PROMPTS: Final = 2048
"""As many as OpenAI takes for embeddings: each is a request of its own to the engine."""

router = APIRouter()


@router.post("/v1/completions", tags=["completions"])
async def create_completion(
    request: Request, services: Annotated[Services, Depends(services)]
) -> Response:
    """Continue a text. Takes OpenAI's body and streams its events."""
    body = await read_body(request)
    target = await services.directory.resolve(body["model"])
    prompt = body.get("prompt")
    if not isinstance(prompt, str | list) or prompt == []:
        raise InvalidRequest(
            "prompt must be a text, a list of texts, or token numbers.",
            param="prompt",
            code="missing_parameter" if prompt is None else "invalid_value",
        )
    if isinstance(prompt, list) and sum(not isinstance(one, int) for one in prompt) > _MOST_PROMPTS:
        raise InvalidRequest(
            f"prompt has {len(prompt)} texts; {_MOST_PROMPTS} are allowed at once.",
            param="prompt",
            code="invalid_value",
        )
    trace = current_trace(request)
    trace.route = "/v1/completions"
    trace.answered_by(target.name, target.alias, target.base)
    guards = services.guard(trace)
    prompts = [prompt] if isinstance(prompt, str) else prompt
    if all(isinstance(text, str) for text in prompts):  # token numbers are not read
        texts = await guards.read_texts([GuardText(text) for text in prompts], param="prompt")
        prompt = texts[0] if isinstance(prompt, str) else texts
        body["prompt"] = prompt
    target = relieved(request, services, Choice(target), grounded=False).target
    trace.question = prompt if isinstance(prompt, str) else None
    trace.body["input"] = request_input((), body, services.settings.tracing.max_input_characters)
    streamed = bool(body.get("stream"))

    def parts() -> AsyncIterator[Part]:
        trace.begin("generate")
        call = model_call(request, body, "completion", target)
        return services.models[target.base].generate(call)

    return await answer(
        request,
        guarded(guards, parts, streamed=streamed),
        streamed=streamed,
        read_answer=completion_text,
    )


def completion_text(data: bytes) -> str:
    """The text of the first choice, from a body or from the events of a stream."""
    bodies: list[dict[str, Any]]
    if data.startswith(b"data: "):
        events = data.split(b"\n\n")
        bodies = [json.loads(event[6:]) for event in events if event.startswith(b"data: {")]
    else:
        bodies = [json.loads(data or b"{}")]
    choices = (choice for body in bodies for choice in body.get("choices") or [])
    return "".join(choice.get("text") or "" for choice in choices if choice.get("index") == 0)
