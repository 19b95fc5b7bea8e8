"""How an item gets its answer: brought along, or asked of a model by chat or by responses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from cluster.errors import ApiError, EverloopError
from deployments.evaluation.cases import Case, Passage, Sample
from deployments.evaluation.graders.specs import Message
from deployments.evaluation.graders.templates import Template, TemplateError, filled
from deployments.evaluation.runs.callers import Reply
from deployments.evaluation.runs.samples import passages_of_trace

__all__ = ["AnswerSource", "Answered", "Asker", "answer_source", "given_answer"]

_RESULTS: Final = "file_search_call.results"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer and the messages that led to it."""

    sample: Sample | None
    messages: tuple[dict[str, Any], ...] = ()


class Api(Protocol):
    """What is asked."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """See HttpModels."""
        ...

    async def get(self, path: str) -> Reply:
        """See HttpModels."""
        ...


class AnswerSource(Protocol):
    """Where a run's answers come from."""

    async def __call__(self, item: Mapping[str, Any]) -> Answered:
        """The answer to an item. Raises EverloopError."""
        ...


def answer_source(data_source: Mapping[str, Any], api: Api) -> "Asker":
    """What asks for the answers of a run whose data source names a model."""
    responses = data_source["type"] == "responses"
    return Asker(data_source, api, _Responses() if responses else _Chat())


def given_answer(sample: Sample | None) -> Answered:
    """An answer that the data brought along, or none."""
    return Answered(sample)


class Asker:
    """Asks a model about each item."""

    def __init__(self, data_source: Mapping[str, Any], api: Api, surface: "_Surface") -> None:
        self._model = str(data_source["model"])
        self._messages = data_source.get("input_messages")
        given = data_source.get("sampling_params") or {}
        self._options = {name: value for name, value in given.items() if value is not None}
        self._api = api
        self._surface = surface

    async def __call__(self, item: Mapping[str, Any]) -> Answered:
        """Ask. Raises TemplateError, ApiError and UnreachableError."""
        messages = input_messages(self._messages, item)
        body = {"model": self._model, **self._surface.body(messages, self._options)}
        reply = await self._api.post(self._surface.path, body)
        sample = self._surface.sample(reply)
        if self._surface.wants_trace(reply) and reply.trace_id is not None:
            sample = await self._with_passages(sample, reply.trace_id)
        if sample.output_json is None:
            sample = replace(sample, output_json=_json_of(sample.output_text))
        return Answered(sample, tuple(messages))

    async def _with_passages(self, sample: Sample, trace_id: str) -> Sample:
        try:
            trace = (await self._api.get(f"/traces/{trace_id}")).body
        except ApiError:  # traces are written off the hot path, and one may be lost
            return sample
        return replace(
            sample, passages=passages_of_trace(trace), refused=bool(trace.get("refused"))
        )


def input_messages(given: Any, item: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of an item: from a template, by reference, or its `input` as a question.

    Raises TemplateError.
    """
    case = Case(0, item)
    if given is None:
        return [{"role": "user", "content": Template("{{item.input}}").render(case)}]
    if given["type"] == "template":
        return [
            {"role": message.role, "content": Template(message.template).render(case)}
            for message in map(Message.model_validate, given["template"])
        ]
    name = str(given["item_reference"]).strip().strip("{}").strip()
    found = filled(f"{{{{{name}}}}}", case)
    if isinstance(found, str):
        return [{"role": "user", "content": found}]
    if isinstance(found, list) and found and all(_is_message(message) for message in found):
        return [dict(message) for message in found]
    raise TemplateError(
        f"{name} is no list of messages.",
        fix='Such as [{"role": "user", "content": "…"}], or a text.',
    )


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and "content" in value


def _json_of(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


class _Surface(Protocol):
    path: str

    def body(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]: ...

    def sample(self, reply: Reply) -> Sample: ...

    def wants_trace(self, reply: Reply) -> bool: ...


class _Chat:
    path = "/chat/completions"

    def body(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        return {"messages": messages, **options}

    def sample(self, reply: Reply) -> Sample:
        choice = _first(reply.body.get("choices"), "choices")
        message = choice.get("message") or {}
        usage = reply.body.get("usage") or {}
        tokens = (choice.get("logprobs") or {}).get("content") or ()
        return Sample(
            output_text=message.get("content") or "",
            model=reply.body.get("model"),
            output_tools=[dict(call) for call in message.get("tool_calls") or ()],
            passages=_cited_only(message.get("annotations") or ()),
            refused=bool((reply.body.get("grounding") or {}).get("refused")),
            seconds=reply.seconds,
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
            log_probabilities=[float(token["logprob"]) for token in tokens],
            trace_id=reply.trace_id,
            finish_reason=choice.get("finish_reason"),
        )

    def wants_trace(self, reply: Reply) -> bool:
        return reply.body.get("grounding") is not None


class _Responses:
    path = "/responses"

    def body(self, messages: list[dict[str, Any]], options: dict[str, Any]) -> dict[str, Any]:
        chosen = dict(options)
        if (limit := chosen.pop("max_completion_tokens", None)) is not None:
            chosen["max_output_tokens"] = limit
        return {"input": messages, "store": False, "include": [_RESULTS], **chosen}

    def sample(self, reply: Reply) -> Sample:
        body = reply.body
        output = body.get("output") or []
        content = [
            part
            for item in output
            if item.get("type") == "message"
            for part in item.get("content") or ()
            if part.get("type") == "output_text"
        ]
        cited = {
            note.get("passage_id") for part in content for note in part.get("annotations") or ()
        }
        usage = body.get("usage") or {}
        incomplete = (body.get("incomplete_details") or {}).get("reason")
        return Sample(
            output_text="".join(part.get("text") or "" for part in content),
            model=body.get("model"),
            output_tools=[dict(i) for i in output if i.get("type") == "function_call"],
            passages=[
                Passage(
                    str(found.get("text", "")),
                    str(found.get("filename", "")),
                    found.get("passage_id") in cited,
                )
                for item in output
                if item.get("type") == "file_search_call"
                for found in item.get("results") or ()
            ],
            refused=bool((body.get("grounding") or {}).get("refused")),
            seconds=reply.seconds,
            prompt_tokens=usage.get("input_tokens"),
            completion_tokens=usage.get("output_tokens"),
            trace_id=reply.trace_id,
            finish_reason="length" if incomplete == "max_output_tokens" else incomplete or "stop",
        )

    def wants_trace(self, reply: Reply) -> bool:
        return False  # the answer itself brings what was found


def _cited_only(annotations: Any) -> list[Passage]:
    cited = [note.get("file_citation") or {} for note in annotations]
    return [Passage(str(c.get("quote", "")), str(c.get("filename", "")), True) for c in cited]


def _first(values: Any, name: str) -> dict[str, Any]:
    if not isinstance(values, list) or not values or not isinstance(values[0], dict):
        raise EverloopError(f"The answer has no {name}.")
    return values[0]
