"""The answer path, event by event."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from cluster.settings import GroundingSettings
from deployments.errors import InvalidRequest, NotFound, Overloaded
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Finished,
    Searched,
    SentenceAttributed,
    TextDelta,
)
from tests.deployments.grounding.conftest import Stage
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage


async def _events(
    stage: Stage, question: str = "Which colour is the sky?", **options: Any
) -> list[AnswerEvent]:
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request(question, **options), stage.trace)
    return [event async for event in answerer.stream(prepared, stage.trace)]


def _finished(events: list[AnswerEvent]) -> Finished:
    assert isinstance(events[-1], Finished)
    return events[-1]


async def test_an_answer_is_searched_told_attributed_and_finished(stage: Stage) -> None:
    events = await _events(stage)
    assert isinstance(events[0], Searched)
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "The sky is blue."
    finished = _finished(events)
    assert finished.groundedness == 1.0
    (citation,) = finished.citations
    assert (citation.start, citation.end, citation.quote) == (0, 16, "The sky is blue")
    assert citation.passage.file_id == "file-1"
    assert finished.usage.prompt_tokens == 7


async def test_a_sentence_is_attributed_while_the_next_is_generated(stage: Stage) -> None:
    # The model waits in its second sentence until the first one is attributed.
    stage.model = ScriptedModel("The sky is blue. The grass is very green.", hold_after=6)
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request(), stage.trace)
    seen: list[AnswerEvent] = []
    async with asyncio.timeout(5):
        async for event in answerer.stream(prepared, stage.trace):
            seen.append(event)
            if isinstance(event, SentenceAttributed):
                stage.model.go.set()
    first, second = _finished(seen).sentences
    assert first.supported
    assert not second.supported
    assert _finished(seen).groundedness == 0.5


async def test_nothing_that_supports_means_the_model_is_not_asked(stage: Stage) -> None:
    stage.retriever = ScriptedRetriever((passage("Comets are icy bodies.", similarity=0.05),))
    events = await _events(stage, "How do I reset my bank card?")
    finished = _finished(events)
    assert finished.refused
    assert finished.text.startswith("I don't know")
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == finished.text
    assert finished.citations == ()
    assert stage.model.calls == []
    assert stage.trace.body["support"]["reason"] == "off_topic"
    assert stage.trace.body["left_out"][0]["reason"] == "refused"


async def test_a_json_answer_is_not_refused_for_a_refusal_is_no_json(stage: Stage) -> None:
    stage.retriever = ScriptedRetriever(())
    stage.model = ScriptedModel('{"ports": [1]}')
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    finished = _finished(await _events(stage, "Which ports?", response_format=schema))
    assert finished.text == '{"ports": [1]}'
    assert not finished.refused


async def test_markers_that_the_model_writes_are_taken_out(stage: Stage) -> None:
    stage.model = ScriptedModel("The sky [1] is blue [1, 2].")
    finished = _finished(await _events(stage))
    assert finished.text == "The sky is blue."
    assert finished.groundedness == 1.0


async def test_closing_the_events_stops_the_model(stage: Stage) -> None:
    stage.model = ScriptedModel("The sky is blue.", hold_after=2)
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request(), stage.trace)
    async with aclosing(answerer.stream(prepared, stage.trace)) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                break
    assert stage.model.stopped == 1
    assert stage.trace.answer == "The"


async def test_passages_go_into_the_prompt_and_the_question_comes_last(stage: Stage) -> None:
    await _events(stage)
    messages = stage.model.calls[0].body["messages"]
    assert messages[0]["role"] == "system"
    assert "The sky is blue." in messages[-1]["content"]
    assert messages[-1]["content"].rstrip().endswith("Which colour is the sky?")


async def test_the_clients_parameters_reach_the_model(stage: Stage) -> None:
    await _events(stage, seed=7, top_p=0.5, max_completion_tokens=33, stop=["END"])
    body = stage.model.calls[0].body
    assert (body["seed"], body["top_p"], body["max_completion_tokens"]) == (7, 0.5, 33)
    assert body["stop"] == ["END"]
    assert body["temperature"] == 0.0
    assert "max_tokens" not in body


async def test_earlier_turns_stand_between_instructions_and_question(stage: Stage) -> None:
    earlier = [
        {"role": "system", "content": "Answer in verse."},
        {"role": "user", "content": "What is the sea like?"},
        {"role": "assistant", "content": "It is wide."},
    ]
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request("Which colour is it?", *earlier), stage.trace)
    messages = prepared.body["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user"]
    assert "Answer in verse." in messages[0]["content"]
    assert "sea" in stage.retriever.requests[0].query, "«it» is searched with what it stands for"


async def test_turns_that_do_not_fit_are_left_out_and_counted(stage: Stage) -> None:
    stage.context_tokens = 512
    old = {"role": "user", "content": "word " * 400}
    reply = {"role": "assistant", "content": "Yes."}
    answerer = stage.answerer()
    prepared = await answerer.prepare(
        stage.request("Which colour is the sky?", old, reply, max_tokens=64), stage.trace
    )
    assert [m["role"] for m in prepared.body["messages"]] == ["system", "user"]
    assert stage.trace.body["turns_left_out"] == 2


async def test_a_prompt_larger_than_the_context_says_how_many_tokens(stage: Stage) -> None:
    stage.context_tokens = 300
    with pytest.raises(InvalidRequest) as caught:
        await stage.answerer().prepare(stage.request("why sky " * 200), stage.trace)
    assert caught.value.code == "context_length_exceeded"
    assert "300" in caught.value.message


async def test_the_trace_says_which_passages_were_left_out_and_why(stage: Stage) -> None:
    stage.settings = GroundingSettings(max_context_tokens=64)
    large = passage("The sky is blue because " + "air scatters light " * 40, number=2)
    stage.retriever = ScriptedRetriever((passage("The sky is blue."), large))
    await _events(stage)
    assert [p["id"] for p in stage.trace.body["passages"]] == ["psg_1"]
    assert [(p["id"], p["reason"]) for p in stage.trace.body["left_out"]] == [("psg_2", "budget")]


async def test_the_trace_has_the_time_of_every_stage(stage: Stage) -> None:
    await _events(stage)
    wanted = {"retrieve", "decide", "pack", "render", "before_model", "model_first_token"}
    assert wanted <= set(stage.trace.timings_ms)
    assert {"retrieve_embed", "generate", "attribution_wait"} <= set(stage.trace.timings_ms)
    assert stage.trace.prompt_version is not None
    assert stage.trace.prompt_version.startswith("grounded_answer@")


async def test_sampled_answers_are_handed_to_the_evaluator(stage: Stage) -> None:
    await _events(stage)
    await asyncio.sleep(0)
    assert stage.evaluator.submitted == [stage.trace.id]
    assert stage.trace.body["evaluate"] is True


async def test_answers_to_a_run_are_not_scored_as_those_of_users(stage: Stage) -> None:
    request = replace(stage.request(), background=True)
    answerer = stage.answerer()
    prepared = await answerer.prepare(request, stage.trace)
    async for _ in answerer.stream(prepared, stage.trace):
        pass
    await asyncio.sleep(0)
    assert stage.evaluator.submitted == []
    assert stage.model.calls[0].background


async def test_answers_outside_the_sample_are_not(stage: Stage) -> None:
    stage.sample_rate = 0.0
    await _events(stage)
    await asyncio.sleep(0)
    assert stage.evaluator.submitted == []


async def test_an_unknown_model_is_not_found(stage: Stage) -> None:
    request = stage.request()
    with pytest.raises(NotFound) as caught:
        await stage.answerer().prepare(replace(request, model="nobody"), stage.trace)
    assert caught.value.param == "model"


async def test_an_error_of_the_model_is_raised_and_stands_in_the_trace(stage: Stage) -> None:
    stage.model.failure = Overloaded("The queue is full.")
    with pytest.raises(Overloaded):
        await _events(stage)
    assert stage.trace.body["error"]["message"] == "The queue is full."


async def test_without_a_search_the_model_is_asked_as_it_is(stage: Stage) -> None:
    request = stage.request("Hello [1]", temperature=0.7)
    plain = replace(request, search=None)
    stage.model = ScriptedModel("Hello [1] there.")
    answerer = stage.answerer()
    prepared = await answerer.prepare(plain, stage.trace)
    events = [event async for event in answerer.stream(prepared, stage.trace)]
    assert not any(isinstance(event, Searched | SentenceAttributed) for event in events)
    assert _finished(events).text == "Hello [1] there."
    assert stage.model.calls[0].body["messages"] == [{"role": "user", "content": "Hello [1]"}]
    assert stage.model.calls[0].body["temperature"] == 0.7
    assert stage.retriever.requests == []


async def test_the_small_models_prompt_ends_with_the_nearest_sentence_and_the_question(
    stage: Stage,
) -> None:
    text = "Grass is green in spring. The sky is a deep blue colour. Rain is wet and cold."
    stage.retriever = ScriptedRetriever((passage(text),))
    await _events(stage)
    last = stage.model.calls[0].body["messages"][-1]["content"].splitlines()
    assert last[-1].endswith("Which colour is the sky?")
    assert last[-3] == "The sky is a deep blue colour."
    assert stage.model.calls[0].body["stop"] == ["\n\n", "\nQuestion:"]
