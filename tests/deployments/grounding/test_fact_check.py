"""The answer path with a policy for sentences that the passages do not support."""

from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from cluster.settings import FactCheckSettings, GroundingSettings
from deployments.errors import Overloaded
from deployments.gateway.grounding.answer_request import PreparedAnswer
from deployments.gateway.grounding.events import AnswerEvent, Finished, TextDelta
from tests.deployments.grounding.conftest import MODEL, Stage
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage

TEXT = "The sky is blue. A lift takes 20 seconds and holds 8 people."
RIGHT = "The sky is blue."
WRONG = "A lift takes 30 seconds."
UNKNOWN = "Penguins live in Antarctica."
OTHER = "A lift holds 8 people."


def _set(stage: Stage, *answers: str, **checks: Any) -> None:
    stage.retriever = ScriptedRetriever((passage(TEXT),))
    stage.model = ScriptedModel(answers=deque(answers))
    stage.settings = GroundingSettings(fact_check=FactCheckSettings(**checks))


async def _answer(stage: Stage, **options: Any) -> tuple[str, Finished]:
    answerer = stage.answerer()
    return await _stream(stage, await answerer.prepare(stage.request(**options), stage.trace))


async def _stream(stage: Stage, prepared: PreparedAnswer) -> tuple[str, Finished]:
    events: list[AnswerEvent] = [
        event async for event in stage.answerer().stream(prepared, stage.trace)
    ]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return "".join(e.text for e in events if isinstance(e, TextDelta)), finished


async def test_by_default_every_sentence_stays_and_has_its_verdict(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG} {UNKNOWN}")
    text, finished = await _answer(stage)
    assert text == finished.text == f"{RIGHT} {WRONG} {UNKNOWN}"
    verdicts = [sentence.verdict for sentence in finished.sentences]
    assert verdicts == ["supported", "contradicted", "unverifiable"]
    (against,) = finished.contradictions
    assert text[against.start : against.end] == WRONG
    assert against.quote == "A lift takes 20 seconds and holds 8 people."
    assert finished.dropped == ()
    sentences = stage.trace.body["sentences"]
    assert [sentence["verdict"] for sentence in sentences] == verdicts
    assert sentences[1]["contradicted_by"]["method"] == "facts"
    assert sentences[0]["contradicted_by"] is None


async def test_what_a_passage_contradicts_is_dropped(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG} {UNKNOWN} {OTHER}", contradicted="drop")
    text, finished = await _answer(stage)
    assert text == finished.text == f"{RIGHT} {UNKNOWN} {OTHER}"
    assert [(one.text, one.verdict) for one in finished.dropped] == [(WRONG, "contradicted")]
    assert [text[c.start : c.end] for c in finished.citations] == [RIGHT, OTHER]
    assert finished.contradictions == ()
    assert stage.trace.answer == text, "the trace has what the client was told"
    assert [one["text"] for one in stage.trace.body["dropped"]] == [WRONG]
    assert len(stage.model.calls) == 1


async def test_where_nothing_is_left_the_answer_is_the_prompts_refusal(stage: Stage) -> None:
    _set(stage, f"{WRONG} {UNKNOWN}", contradicted="drop", unverifiable="drop")
    text, finished = await _answer(stage)
    assert text == finished.text
    assert text.startswith("I don't know")
    assert finished.refused
    assert stage.trace.refused
    assert finished.usage.completion_tokens > 0, "the model was asked, and its tokens count"


async def test_a_first_answer_that_holds_is_not_asked_anew(stage: Stage) -> None:
    _set(stage, RIGHT, contradicted="regenerate")
    text, finished = await _answer(stage)
    assert (text, finished.regenerated) == (RIGHT, False)
    assert len(stage.model.calls) == 1
    assert "thrown_away" not in stage.trace.body
    assert "first_answer" in stage.trace.timings_ms


async def test_an_answer_that_does_not_hold_is_asked_anew(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG}", f"{RIGHT} {OTHER}", contradicted="regenerate")
    text, finished = await _answer(stage)
    assert text == finished.text == f"{RIGHT} {OTHER}"
    assert finished.regenerated
    assert finished.dropped == ()
    assert finished.groundedness == 1.0
    first, second = stage.model.calls
    assert second.body["messages"][:-1] == first.body["messages"][:-1]
    assert second.body["messages"][-1]["content"].endswith(f"«{WRONG}»")
    assert RIGHT not in second.body["messages"][-1]["content"].split("Answer again")[-1]
    assert first.request_id != second.request_id
    assert second.deadline_s < first.deadline_s, "the second has the time that is left"
    assert finished.usage.prompt_tokens == 14
    assert finished.usage.completion_tokens == 9 + 9
    assert stage.trace.body["thrown_away"] == f"{RIGHT} {WRONG}"
    assert stage.trace.body["regenerated"] is True
    assert stage.trace.answer == text


async def test_a_second_answer_that_is_as_wrong_is_dropped(stage: Stage) -> None:
    worse = "A lift takes 90 seconds."
    _set(stage, f"{RIGHT} {WRONG}", f"{RIGHT} {worse}", contradicted="regenerate")
    text, finished = await _answer(stage)
    assert (text, finished.regenerated) == (RIGHT, True)
    assert [one.text for one in finished.dropped] == [worse]
    assert len(stage.model.calls) == 2


async def test_without_room_for_a_second_answer_the_first_is_dropped_from(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG}", contradicted="regenerate")
    prepared = await stage.answerer().prepare(stage.request(max_tokens=64), stage.trace)
    used = stage.counter.count_messages(prepared.body["messages"]) + 64
    tight = prepared.profile._replace(context_tokens=used + 8)  # not enough to say what was wrong
    text, finished = await _stream(stage, replace(prepared, profile=tight))
    assert (text, finished.regenerated) == (RIGHT, False)
    assert [one.text for one in finished.dropped] == [WRONG]
    assert len(stage.model.calls) == 1


async def test_without_time_for_a_second_answer_the_first_is_dropped_from(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG}", contradicted="regenerate")
    request = replace(stage.request(), deadline_s=1e-9)
    prepared = await stage.answerer().prepare(request, stage.trace)
    text, finished = await _stream(stage, prepared)
    assert (text, finished.regenerated) == (RIGHT, False)
    assert len(stage.model.calls) == 1


async def test_an_error_of_the_second_answer_is_the_requests(stage: Stage) -> None:
    _set(stage, f"{RIGHT} {WRONG}", contradicted="regenerate")
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request(), stage.trace)

    def fail_next() -> None:
        stage.model.failure = Overloaded("The queue is full.")

    stage.model.at_end = fail_next
    told = []
    with pytest.raises(Overloaded):
        async for event in answerer.stream(prepared, stage.trace):
            told.append(event)
    assert not any(isinstance(event, TextDelta) for event in told), "its status can still be sent"


async def test_an_answer_in_json_is_flagged_only(stage: Stage) -> None:
    _set(stage, f'{{"a": "{WRONG}"}}', contradicted="drop", unverifiable="drop")
    text, finished = await _answer(stage, response_format={"type": "json_object"})
    assert text == finished.text == f'{{"a": "{WRONG}"}}'
    assert finished.dropped == ()


async def test_a_judge_is_asked_about_what_is_doubtful(stage: Stage) -> None:
    doubtful = "A lift holds 8 people and a dog."
    _set(stage, f"{RIGHT} {doubtful}", "contradicted", judge=MODEL, contradicted="drop")
    text, finished = await _answer(stage)
    assert text == RIGHT
    (dropped,) = finished.dropped
    assert (dropped.text, dropped.verdict) == (doubtful, "contradicted")
    assert dropped.reason == f"{MODEL} says so"
    answer, question = stage.model.calls
    assert answer.body["stream"]
    assert doubtful in question.body["messages"][-1]["content"]


async def test_a_judge_that_supports_gives_the_citation(stage: Stage) -> None:
    _set(stage, "A lift holds 8 people and a dog.", "supported", judge=MODEL)
    _, finished = await _answer(stage)
    assert finished.groundedness == 1.0
    assert [citation.method for citation in finished.citations] == ["judge"]
