"""Both surfaces, driven by the official `openai` client over the whole ASGI application."""

from typing import Any

import openai
import pytest
from openai.types.responses import ResponseOutputMessage
from openai.types.responses.response_output_text import ResponseOutputText

from deployments.errors import NotFound, Overloaded
from tests.deployments.grounding.conftest import MODEL, World
from tests.fakes.chat import ScriptedModel, ScriptedRetriever

SEARCH = {"vector_store_ids": ["vs_1"]}
TOOL: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}
QUESTION = "Which colour is the sky?"


def _text(response: Any) -> ResponseOutputText:
    message = response.output[-1]
    assert isinstance(message, ResponseOutputMessage)
    part = message.content[0]
    assert isinstance(part, ResponseOutputText)
    return part


async def _chat(world: World, **more: Any) -> Any:
    return await world.client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": QUESTION}],
        extra_body={"file_search": SEARCH},
        **more,
    )


async def _respond(world: World, **more: Any) -> Any:
    body = {"model": MODEL, "input": QUESTION, "tools": [TOOL], **more}
    return await world.client.responses.create(**body)


async def test_chat_answers_with_annotations(world: World) -> None:
    completion = await _chat(world)
    message = completion.choices[0].message
    assert message.content == "The sky is blue."
    (annotation,) = message.annotations
    citation = annotation.model_extra["file_citation"]
    assert annotation.type == "file_citation"
    assert citation["file_id"] == "file-1"
    assert (citation["page"], citation["quote"]) == (1, "The sky is blue")
    assert message.content[citation["start_index"] : citation["end_index"]] == message.content
    assert completion.model_extra["grounding"]["groundedness"] == 1.0
    assert completion.usage.total_tokens == 11


async def test_chat_streams_the_text_and_then_the_annotations(world: World) -> None:
    chunks = [
        chunk
        async for chunk in await _chat(world, stream=True, stream_options={"include_usage": True})
    ]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "The sky is blue."
    annotated = [d for d in deltas if d.model_extra.get("annotations")]
    assert annotated[0].model_extra["annotations"][0]["file_citation"]["file_id"] == "file-1"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 11


@pytest.mark.parametrize("stream", [False, True])
async def test_feedback_on_a_grounded_chat_finds_it_by_its_completion_id(
    world: World, stream: bool
) -> None:
    answered = await _chat(world, stream=stream)
    completion_id = answered.id if not stream else [chunk.id async for chunk in answered][-1]
    said: Any = await world.client.post(
        "/feedback",
        cast_to=object,
        body={"completion_id": completion_id, "thumbs": "up"},
    )
    found: Any = await world.client.get(
        f"/feedback/{said['id']}", cast_to=object, options={"params": {"include[]": "trace"}}
    )
    trace = found["trace"]
    assert (trace["question"], trace["grounded"]) == (QUESTION, True)
    assert "The sky is blue" in trace["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"extra_body": {"file_search": {}}}, "file_search.vector_store_ids"),
        (
            {"extra_body": {"file_search": {**SEARCH, "max_num_results": 51}}},
            "file_search.max_num_results",
        ),
        ({"extra_body": {"file_search": {**SEARCH, "colour": 1}}}, "file_search.colour"),
    ],
)
async def test_chat_names_the_field_that_is_wrong(
    world: World, more: dict[str, Any], param: str
) -> None:
    body = {"extra_body": {"file_search": SEARCH}, **more}
    with pytest.raises(openai.BadRequestError) as caught:
        await world.client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": QUESTION}], **body
        )
    assert caught.value.param == param


async def test_an_overloaded_model_is_a_429_before_the_stream_starts(world: World) -> None:
    world.stage.model.failure = Overloaded("The queue is full.", retry_after_s=3)
    with pytest.raises(openai.RateLimitError) as caught:
        await _chat(world, stream=True)
    assert caught.value.response.headers["retry-after"] == "3"


async def test_a_missing_store_is_a_404(world: World) -> None:
    world.stage.retriever.failure = NotFound("No such store.", param="vector_store_ids")
    with pytest.raises(openai.NotFoundError):
        await _respond(world, stream=True)


async def test_a_response_has_the_search_and_the_cited_answer(world: World) -> None:
    response = await _respond(world, include=["file_search_call.results"])
    assert response.status == "completed"
    assert response.output_text == "The sky is blue."
    call = response.output[0]
    assert call.type == "file_search_call"
    assert call.queries == [QUESTION]
    assert call.results[0].file_id == "file-1"
    (annotation,) = _text(response).annotations
    assert annotation.type == "file_citation"
    assert (annotation.filename, annotation.index) == ("handbook.pdf", 16)
    assert annotation.model_extra is not None
    assert annotation.model_extra["page"] == 1
    assert response.usage.input_tokens == 7


async def test_results_come_only_when_they_are_asked_for(world: World) -> None:
    response = await _respond(world)
    assert response.output[0].results is None


async def test_a_response_without_tools_is_a_plain_answer(world: World) -> None:
    response = await _respond(world, tools=[], instructions="Be brief.", temperature=0.3)
    assert [item.type for item in response.output] == ["message"]
    messages = world.stage.model.calls[0].body["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert world.stage.model.calls[0].body["temperature"] == 0.3
    assert response.temperature == 0.3


async def test_the_stream_has_openais_events_in_their_order(world: World) -> None:
    events = [event async for event in await _respond(world, stream=True)]
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    once = list(dict.fromkeys(kinds))
    assert once == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.completed",
    ]
    assert kinds.count("response.output_item.added") == 2
    assert kinds.count("response.output_item.done") == 2
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    final = events[-1].response
    assert text == final.output_text == "The sky is blue."
    ids = {e.item_id for e in events if e.type == "response.output_text.delta"}
    assert ids == {final.output[1].id}
    assert _text(final).annotations[0].type == "file_citation"


async def test_the_clients_stream_helper_accepts_the_stream(world: World) -> None:
    async with world.client.responses.stream(model=MODEL, input=QUESTION, tools=[TOOL]) as stream:
        final = await stream.get_final_response()
    assert final.output_text == "The sky is blue."


async def test_an_answer_that_was_cut_is_incomplete(world: World) -> None:
    world.stage.model = ScriptedModel("The sky is", finish_reason="length")
    response = await _respond(world, max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert world.stage.model.calls[0].body["max_tokens"] == 3
    events = [event async for event in await _respond(world, stream=True)]
    assert events[-1].type == "response.incomplete"


async def test_an_error_in_the_middle_fails_the_response(world: World) -> None:
    world.stage.model = ScriptedModel(failure=Overloaded("The engine died."), fail_after=2)
    events = [event async for event in await _respond(world, stream=True)]
    assert [event.type for event in events[-2:]] == ["error", "response.failed"]
    assert events[-1].response.status == "failed"
    assert events[-1].response.error.code == "rate_limit_exceeded"
    assert [event.sequence_number for event in events] == list(range(len(events)))


async def test_a_refusal_has_no_annotations_and_asks_no_model(world: World) -> None:
    world.stage.retriever = ScriptedRetriever(())
    events = [event async for event in await _respond(world, stream=True)]
    final = events[-1].response
    assert final.output_text.startswith("I don't know")
    assert _text(final).annotations == []
    assert final.model_extra["grounding"]["refused"] is True
    assert world.stage.model.calls == []


async def test_a_stored_response_is_retrieved_and_deleted(world: World) -> None:
    client = world.client
    once = {"Idempotency-Key": "once"}
    made = await client.responses.create(
        model=MODEL, input=QUESTION, tools=[TOOL], extra_headers=once
    )
    found = await client.responses.retrieve(made.id)
    assert found.output_text == made.output_text
    items = await client.responses.input_items.list(made.id)
    assert items.data[0].model_dump()["content"][0]["text"] == QUESTION
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.ConflictError) as lost:
        await client.responses.create(model=MODEL, input=QUESTION, tools=[TOOL], extra_headers=once)
    assert lost.value.code == "idempotency_answer_lost"


async def test_a_response_that_is_not_stored_is_not_found(world: World) -> None:
    client = world.client
    made = await client.responses.create(model=MODEL, input=QUESTION, store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)


async def test_a_conversation_goes_on_from_a_stored_response(world: World) -> None:
    client = world.client
    first = await client.responses.create(
        model=MODEL, input=QUESTION, instructions="Once.", tools=[TOOL]
    )
    await client.responses.create(
        model=MODEL, input="Why is it so?", previous_response_id=first.id, tools=[TOOL]
    )
    messages = world.stage.model.calls[1].body["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == "The sky is blue."
    assert "Once." not in messages[0]["content"], "instructions hold for one response"
    assert QUESTION in world.stage.retriever.requests[1].query


async def test_output_items_can_be_sent_back_as_input(world: World) -> None:
    client = world.client
    first = await client.responses.create(model=MODEL, input=QUESTION, tools=[TOOL])
    history: Any = [
        {"role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        *[item.model_dump(exclude_none=True) for item in first.output],
        {"role": "user", "content": "Why?"},
    ]
    second = await client.responses.create(model=MODEL, input=history)
    assert second.output_text == "The sky is blue."
    assert [m["role"] for m in world.stage.model.calls[1].body["messages"]] == [
        "user",
        "assistant",
        "user",
    ]


async def test_a_schema_reaches_the_engine(world: World) -> None:
    world.stage.model = ScriptedModel('{"colour": "blue"}')
    schema = {"type": "object", "properties": {"colour": {"type": "string"}}}
    text: Any = {"format": {"type": "json_schema", "name": "answer", "schema": schema}}
    response = await _respond(world, text=text)
    assert response.output_text == '{"colour": "blue"}'
    sent = world.stage.model.calls[0].body["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert response.text.format.type == "json_schema"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools.0"),
        ({"background": True}, "background"),
        ({"include": ["reasoning.encrypted_content"]}, "include.0"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"colour": "red"}}, "colour"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input.0.content"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
    ],
)
async def test_responses_name_the_field_that_is_wrong(
    world: World, more: dict[str, Any], param: str
) -> None:
    with pytest.raises((openai.BadRequestError, openai.NotFoundError)) as caught:
        await _respond(world, **more)
    assert str(caught.value.param).startswith(param)


async def test_the_trace_of_a_grounded_answer_can_be_read(world: World) -> None:
    client = world.client
    raw = await client.responses.with_raw_response.create(model=MODEL, input=QUESTION, tools=[TOOL])
    assert world.http is not None
    for _ in range(100):
        trace = (await world.http.get(f"/v1/traces/{raw.headers['x-trace-id']}")).json()
        if "error" not in trace:
            break
    assert trace["question"] == QUESTION
    assert trace["answer"] == "The sky is blue."
    assert str(trace).count("model_first_token") == 1


async def test_an_answer_leads_to_the_passages_that_it_was_made_of(world: World) -> None:
    completion = await _chat(world)
    trace = completion.model_extra["grounding"]["trace_id"]
    assert world.http is not None
    found = (await world.http.get(f"/v1/lineage/{trace}")).json()
    edges = {(edge["source"], edge["kind"], edge["target"]) for edge in found["edges"]}
    assert {
        ("psg_1", "cited", trace),
        ("vs_1/file-1", "part", "psg_1"),
        ("file-1", "ingested", "vs_1/file-1"),
    } <= edges
