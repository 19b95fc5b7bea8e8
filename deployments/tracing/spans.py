"""A trace as OpenTelemetry spans, by its semantic conventions for GenAI and for HTTP servers.

One trace for each request: the server's span, and under it one for each stage that was timed. The
conventions are those of the installed `opentelemetry-semantic-conventions`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deployments.tracing.stages import STAGES

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

__all__ = ["spans_of"]

_PROVIDER: Final = "everloop"
_RETRIEVAL: Final = ("embed", "bm25", "dense", "fuse", "rerank", "mmr")
_SAMPLED_PARENT: Final = 1
_OPTIONS: Final = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "stream": "gen_ai.request.stream",
}


class _Place(NamedTuple):
    """A stage in time, in milliseconds from the request's start."""

    name: str
    parent: str | None
    start: float
    duration: float


def spans_of(
    row: Mapping[str, Any], began_ns: int, resource: "Resource", *, content: bool
) -> "list[ReadableSpan]":
    """The spans of a trace's row, the server's first. Texts are in them only with `content`.

    A client's `traceparent` is continued; where it says that its trace is not sampled, there are
    none. Ids are digests of the trace's id: the same row makes the same spans.
    """
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

    body: Mapping[str, Any] = row["body"]
    parent, sampled = _parent(body.get("traceparent"))
    if not sampled:
        return []
    trace_id = parent.trace_id if parent else _digest(row["id"], 16)
    root = _context(trace_id, _digest(f"{row['id']}/", 8))
    scope = InstrumentationScope("everloop")
    failed = row["status"] >= 400
    status = Status(StatusCode.ERROR if failed else StatusCode.UNSET)

    def at(milliseconds: float) -> int:
        return began_ns + round(milliseconds * 1_000_000)

    made = [
        ReadableSpan(
            f"POST {row['route']}",
            context=root,
            parent=parent,
            resource=resource,
            attributes=_server(row, content=content),
            kind=SpanKind.SERVER,
            status=status,
            start_time=at(0),
            end_time=at(row["duration_ms"]),
            instrumentation_scope=scope,
        )
    ]
    contexts: dict[str | None, SpanContext] = {None: root}
    for place in _places(body):
        name, attributes = _described(place.name, row, content=content)
        contexts[place.name] = _context(trace_id, _digest(f"{row['id']}/{place.name}", 8))
        model = place.name == "generate"
        made.append(
            ReadableSpan(
                name,
                context=contexts[place.name],
                parent=contexts[place.parent],
                resource=resource,
                attributes=attributes,
                kind=SpanKind.CLIENT if model else SpanKind.INTERNAL,
                status=status if model else Status(StatusCode.UNSET),
                start_time=at(place.start),
                end_time=at(place.start + place.duration),
                instrumentation_scope=scope,
            )
        )
    return made


def _places(body: Mapping[str, Any]) -> list[_Place]:
    """Each stage with its place in time.

    The retriever tells durations only: words and the query's vector are searched side by side, what
    is between is put as early as it can have been.
    """
    spent: Mapping[str, float] = body.get("timings_ms") or {}
    began: Mapping[str, float] = body.get("began_ms") or {}
    places = [_Place(name, None, began[name], spent[name]) for name in STAGES if name in began]
    if "retrieve" not in began:
        return places
    inner = {name: spent.get(f"retrieve_{name}") for name in _RETRIEVAL}
    start = began["retrieve"]
    vector = inner["embed"] or 0.0
    searched = max(vector + (inner["dense"] or 0.0), inner["bm25"] or 0.0)
    offsets = {"embed": 0.0, "bm25": 0.0, "dense": vector, "fuse": searched}
    after = searched + (inner["fuse"] or 0.0)
    for name in ("rerank", "mmr"):
        offsets[name] = after
        after += inner[name] or 0.0
    places += [
        _Place(name, "retrieve", start + offsets[name], duration)
        for name, duration in inner.items()
        if duration is not None
    ]
    return places


def _server(row: Mapping[str, Any], *, content: bool) -> dict[str, Any]:
    body: Mapping[str, Any] = row["body"]
    said = {"everloop.question": row["question"], "everloop.answer": row["answer"]}
    return _present(
        {
            "http.request.method": "POST",
            "http.route": row["route"],
            "http.response.status_code": row["status"],
            "error.type": row["error_code"] if row["status"] >= 400 else None,
            "everloop.trace.id": row["id"],
            "everloop.request.id": row["request_id"],
            "everloop.model": row["model"],
            "everloop.model.base": body.get("base_model"),
            "everloop.alias": row["alias"],
            "everloop.prompt.version": row["prompt_version"],
            "everloop.experiment.id": row["experiment_id"],
            "everloop.experiment.arm": row["arm"],
            "everloop.shadow_of": row["shadow_of"],
            "everloop.user": row["user_id"],
            "everloop.refused": row["refused"],
            "everloop.groundedness": body.get("groundedness"),
            "everloop.cost": row["cost"],
            "everloop.passages": len(body["passages"]) if "passages" in body else None,
            **(said if content else {}),
        }
    )


def _described(stage: str, row: Mapping[str, Any], *, content: bool) -> tuple[str, dict[str, Any]]:
    """The name and the attributes of a stage's span."""
    body: Mapping[str, Any] = row["body"]
    if stage == "generate":
        operation = "text_completion" if row["route"] == "/v1/completions" else "chat"
        return f"{operation} {row['model']}", _generation(row, operation, content=content)
    if stage == "embed":
        return "embeddings", {"gen_ai.operation.name": "embeddings", **_provider()}
    if stage == "retrieve":
        found = [
            {"id": passage["id"], "score": passage.get("score")}
            for name in ("passages", "left_out")
            for passage in body.get(name) or ()
        ]
        stores = body.get("vector_store_ids") or ()
        return "retrieval " + " ".join(stores), _present(
            {
                "gen_ai.operation.name": "retrieval",
                **_provider(),
                "gen_ai.data_source.id": ",".join(stores) or None,
                "gen_ai.retrieval.documents": json.dumps(found),
                "gen_ai.retrieval.query.text": body.get("query") if content else None,
            }
        )
    return stage, {}


def _generation(row: Mapping[str, Any], operation: str, *, content: bool) -> dict[str, Any]:
    body: Mapping[str, Any] = row["body"]
    given: Mapping[str, Any] = body.get("input") or {}
    options: Mapping[str, Any] = given.get("options") or {}
    first_ms = (body.get("timings_ms") or {}).get("model_first_token")
    finish = body.get("finish_reason")
    attributes = {
        "gen_ai.operation.name": operation,
        **_provider(),
        "gen_ai.request.model": row["alias"] or row["model"],
        "gen_ai.response.model": row["model"],
        "gen_ai.usage.input_tokens": row["prompt_tokens"],
        "gen_ai.usage.output_tokens": row["completion_tokens"],
        "gen_ai.response.finish_reasons": [finish] if finish else None,
        "gen_ai.response.time_to_first_chunk": first_ms / 1000 if first_ms else None,
        "gen_ai.prompt.name": row["prompt_version"],
        "error.type": row["error_code"] if row["status"] >= 400 else None,
    }
    for option, name in _OPTIONS.items():
        if isinstance(options.get(option), int | float):
            attributes[name] = options[option]
    if content:
        messages = given.get("messages") or []
        attributes["gen_ai.input.messages"] = json.dumps([_message(m) for m in messages])
        said = {"role": "assistant", "parts": [_part(row["answer"] or "")]}
        said["finish_reason"] = finish or "stop"
        attributes["gen_ai.output.messages"] = json.dumps([said])
    return _present(attributes)


def _provider() -> dict[str, str]:
    return {"gen_ai.provider.name": _PROVIDER}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content)
    return {"role": message.get("role"), "parts": [_part(text)]}


def _part(text: str) -> dict[str, str]:
    return {"type": "text", "content": text}


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _parent(header: str | None) -> "tuple[SpanContext | None, bool]":
    """The client's span, and whether its trace is recorded."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if header is None:
        return None, True
    found = TraceContextTextMapPropagator().extract({"traceparent": header})
    context = get_current_span(found).get_span_context()
    if not context.is_valid:
        return None, True
    return context, bool(context.trace_flags & _SAMPLED_PARENT)


def _context(trace_id: int, span_id: int) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))


def _digest(text: str, size: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1
