"""The response object and the items in it, as OpenAI's client types read them."""

from typing import Any

from cluster.ids import new_id
from cluster.records import now
from deployments.gateway.grounding.annotations import response_annotation
from deployments.gateway.grounding.events import Citation, Finished, Searched
from deployments.gateway.responses.bodies import InputMessage, ResponseCreate
from deployments.retriever.messages import RetrievedPassage

__all__ = [
    "input_items",
    "message_item",
    "new_response",
    "output_text",
    "public_response",
    "search_item",
    "usage_of",
]

_RESULTS = "file_search_call.results"


def new_response(body: ResponseCreate, temperature: float | None) -> dict[str, Any]:
    """Make the object as it stands before the answer: `in_progress`, without output."""
    text = body.text.model_dump(by_alias=True, exclude_none=True) if body.text else {}
    choice = body.tool_choice
    return {
        "id": new_id("resp"),
        "object": "response",
        "created_at": now(),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "max_tool_calls": body.max_tool_calls,
        "metadata": body.metadata or {},
        "model": body.model,
        "output": [],
        "parallel_tool_calls": bool(body.parallel_tool_calls),
        "previous_response_id": body.previous_response_id,
        "prompt": body.prompt,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": None,
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.store is not False,
        "temperature": temperature if body.temperature is None else body.temperature,
        "text": {"format": {"type": "text"}, **text},
        "tool_choice": choice if isinstance(choice, str) else choice.model_dump(),
        "tools": [tool.model_dump(exclude_none=True) for tool in body.tools],
        "top_logprobs": 0,
        "top_p": 1.0 if body.top_p is None else body.top_p,
        "truncation": body.truncation or "disabled",
        "usage": None,
        "user": body.user,
    }


def search_item(item_id: str, status: str, searched: Searched | None) -> dict[str, Any]:
    """Make the `file_search_call` item, with its results once there are any."""
    return {
        "id": item_id,
        "type": "file_search_call",
        "status": status,
        "queries": [searched.query] if searched else [],
        "results": [_result(p) for p in searched.passages] if searched else None,
    }


def message_item(item_id: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    """Make the assistant's message item."""
    return {
        "id": item_id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def output_text(text: str, citations: tuple[Citation, ...] | list[Citation]) -> dict[str, Any]:
    """Make the content part that holds the answer."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": [response_annotation(citation) for citation in citations],
        "logprobs": [],
    }


def usage_of(finished: Finished) -> dict[str, Any]:
    """Make the usage, under the names of this surface."""
    used = finished.usage
    return {
        "input_tokens": used.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.prompt_tokens + used.completion_tokens,
    }


def public_response(response: dict[str, Any], include: list[Any] | None) -> dict[str, Any]:
    """Return `response` without the search results unless `include` asks for them."""
    if include and _RESULTS in include:
        return response
    return {**response, "output": [public_item(item) for item in response["output"]]}


def public_item(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without search results."""
    return {**item, "results": None} if item["type"] == "file_search_call" else item


def input_items(body: ResponseCreate) -> list[dict[str, Any]]:
    """Make the request's input as items with ids, in the order given."""
    if isinstance(body.input, str):
        return [_input_item("user", body.input, None)]
    return [
        _input_item(item.role, item.text, item.id)
        for item in body.input or ()
        if isinstance(item, InputMessage)
    ]


def _input_item(role: str, text: str, item_id: str | None) -> dict[str, Any]:
    if role == "assistant":
        return message_item(item_id or new_id("msg"), "completed", [output_text(text, ())])
    return {
        "id": item_id or new_id("msg"),
        "type": "message",
        "role": role,
        "status": "completed",
        "content": [{"type": "input_text", "text": text}],
    }


def _result(passage: RetrievedPassage) -> dict[str, Any]:
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "text": passage.text,
        "attributes": passage.attributes,
        "passage_id": passage.id,
        "vector_store_id": passage.store_id,
        "page": passage.page,
        "page_end": passage.page_end,
        "section": list(passage.section),
    }
