"""`/v1/responses`: answers, grounded with the `file_search` tool, that can be kept and gone on."""

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from cluster.audit import record
from cluster.records import IdempotencyKey, ResponseRecord
from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.chains import Chain
from deployments.gateway.choosing import Choice, choose
from deployments.gateway.generation import answer
from deployments.gateway.grounding.answer_request import AnswerRequest
from deployments.gateway.guarding import RequestGuards
from deployments.gateway.objects import Deleted
from deployments.gateway.prompting import question_of, told_messages, told_options
from deployments.gateway.purging import tell_backups
from deployments.gateway.relieving import relieved
from deployments.gateway.request_context import (
    current_trace,
    is_background,
    remaining_s,
    request_id,
)
from deployments.gateway.responses.bodies import ResponseCreate
from deployments.gateway.responses.objects import input_items, new_response, public_response
from deployments.gateway.responses.rendering import Rendering
from deployments.gateway.services import Services, services
from deployments.gateway.shadows import start_shadows
from deployments.gateway.users import USER_HEADER
from deployments.model.messages import Part
from deployments.tracing.inputs import request_input

__all__ = ["router"]

router = APIRouter(prefix="/v1/responses", tags=["Responses"])

Parts = Annotated[Services, Depends(services)]


@router.post("", summary="Create a response")
async def create_response(request: Request, body: ResponseCreate, parts: Parts) -> Response:
    """Answer `input`; with the `file_search` tool from the documents of vector stores, cited."""
    trace = current_trace(request)
    trace.route = "/v1/responses"
    if body.input is None and body.prompt is None:
        raise InvalidRequest(
            "input is required, unless there is a prompt.", param="input", code="missing_parameter"
        )
    guards = parts.guard(trace)
    earlier = await _earlier(parts, body.previous_response_id)
    messages, prompt = await guards.read([*earlier, *body.messages], body.prompt, param="input")
    body = body.rewritten(messages[len(earlier) :], prompt)
    named = body.model_dump(include={"model", "prompt", "user", "safety_identifier"})
    user = request.headers.get(USER_HEADER)
    background, grounded = is_background(request), body.search is not None
    choice = await choose(parts, named, trace, user, grounded=grounded, background=background)
    choice = relieved(request, parts, choice, grounded=grounded)
    if body.metadata:
        trace.body["metadata"] = dict(body.metadata)
    trace.body["input"] = _input(body, messages, parts.settings.tracing.max_input_characters)
    trace.question = question_of(messages)
    whole = body.model_copy(update={"stream": False, "store": False})
    return await answer(
        request,
        _answered(request, parts, body, messages, choice, guards),
        streamed=bool(body.stream),
        read_answer=lambda _data: trace.answer or "",
        ended=lambda: start_shadows(
            request,
            parts,
            choice,
            named,
            lambda again, chosen: _answered(
                again, parts, whole, messages, chosen, parts.guard(current_trace(again))
            ),
            lambda _data: "",
        ),
    )


@router.get("/{response_id}", summary="Retrieve a response")
async def retrieve_response(
    response_id: str,
    parts: Parts,
    include: Annotated[list[str] | None, Query(alias="include[]")] = None,
) -> JSONResponse:
    """Return a stored response."""
    record = await _record(parts, response_id)
    return JSONResponse(public_response(record.body["response"], include))


@router.delete("/{response_id}", summary="Delete a response")
async def delete_response(response_id: str, parts: Parts) -> Deleted:
    """Forget a stored response; answers that went on from it keep their copy of what was said."""

    def forget(session: Session) -> int:
        found = session.execute(delete(ResponseRecord).where(ResponseRecord.id == response_id))
        count = int(getattr(found, "rowcount", 0))
        if count:
            session.execute(  # a retry of the request that made it is not told it again
                update(IdempotencyKey)
                .where(IdempotencyKey.made.contains(f'"{response_id}"', autoescape=True))
                .values(answer=None)
            )
            record(session, "response.deleted", response_id)
        return count

    if not await parts.database.run(forget):
        raise _missing(response_id, "response_id")
    await tell_backups(parts.note_deletion, "response", response_id)
    return Deleted(id=response_id, object="response")


@router.get("/{response_id}/input_items", summary="List input items")
async def list_input_items(
    response_id: str,
    parts: Parts,
    after: Annotated[str | None, Query(max_length=64)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "desc",
) -> dict[str, Any]:
    """List what a response was asked."""
    record = await _record(parts, response_id)
    items = list(record.body["input_items"])
    if order == "desc":
        items.reverse()
    ids = [item["id"] for item in items]
    if after is not None:
        items = items[ids.index(after) + 1 :] if after in ids else []
    page = items[:limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": len(items) > limit,
    }


def _input(body: ResponseCreate, messages: list[dict[str, Any]], characters: int) -> dict[str, Any]:
    options = body.model_dump(exclude={"input", "instructions"}, exclude_unset=True)
    opening = [{"role": "system", "content": body.instructions}] if body.instructions else []
    return request_input([*opening, *messages], options, characters)


async def _answered(
    request: Request,
    parts: Services,
    body: ResponseCreate,
    messages: list[dict[str, Any]],
    choice: Choice,
    guards: RequestGuards,
) -> AsyncGenerator[Part, None]:
    trace = current_trace(request)
    if choice.prompt is not None and choice.prompt.body.steps:
        await guards.passed()
    body = body.model_copy(update={"model": choice.target.name})

    async def save(response: dict[str, Any], text: str) -> None:
        if response["store"]:
            await _save(parts, body, messages, response, text, trace.id)

    instructed = messages
    if body.instructions:
        instructed = [{"role": "system", "content": body.instructions}, *messages]
    chain = Chain(
        parts,
        trace,
        request_id=request_id(request),
        deadline_s=remaining_s(request),
        background=is_background(request),
        grounded=body.search is not None,
        options=body.options,
    )
    asked = _asked(request, body, instructed, await chain.run(choice, messages), guards)
    prepared = await parts.answerer.prepare(asked, trace)
    rendering = Rendering(
        new_response(body, prepared.temperature),
        include=body.include,
        trace_id=trace.id,
        save=save,
    )
    events = parts.answerer.stream(prepared, trace)
    rendered = rendering.stream(events) if body.stream else rendering.whole(events)
    try:
        async for part in rendered:
            yield part
    finally:
        await rendered.aclose()
        await events.aclose()


def _asked(
    request: Request,
    body: ResponseCreate,
    messages: list[dict[str, Any]],
    choice: Choice,
    guards: RequestGuards,
) -> AnswerRequest:
    prompt, options = choice.prompt, body.options
    if prompt is not None:
        options = told_options(prompt, options)
        if body.search is None:
            messages = told_messages(prompt, choice.variables, messages)
    return AnswerRequest(
        model=choice.target.base,
        adapter=choice.target.adapter,
        messages=messages,
        search=body.search,
        options=options,
        request_id=request_id(request),
        deadline_s=remaining_s(request),
        background=is_background(request),
        prompt=prompt,
        variables=choice.variables,
        retrieval=choice.retrieval,
        ease=choice.ease,
        spent=choice.spent,
        guards=guards,
    )


async def _save(
    parts: Services,
    body: ResponseCreate,
    messages: list[dict[str, Any]],
    response: dict[str, Any],
    text: str,
    trace_id: str,
) -> None:
    record = ResponseRecord(
        id=response["id"],
        body={"response": response, "input_items": input_items(body)},
        messages=[*messages, {"role": "assistant", "content": text}],
        trace_id=trace_id,
        created_at=response["created_at"],
    )
    await parts.database.run(lambda session: session.merge(record))


async def _earlier(parts: Services, previous: str | None) -> list[dict[str, Any]]:
    """Return what was said up to a stored response, without its instructions."""
    if previous is None:
        return []
    record = await _record(parts, previous, "previous_response_id")
    return list(record.messages)


async def _record(parts: Services, response_id: str, param: str = "response_id") -> ResponseRecord:
    record = await parts.database.run(
        lambda session: session.get(ResponseRecord, response_id), read_only=True
    )
    if record is None:
        raise _missing(response_id, param)
    return record


def _missing(response_id: str, param: str) -> NotFound:
    return NotFound(
        f"There is no stored response {response_id[:64]!r}.", param=param, code="not_found"
    )
