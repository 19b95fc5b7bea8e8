"""The fact check as both surfaces show it, driven by the official `openai` client."""

from collections import deque
from typing import Any

import pytest

from cluster.settings import FactCheckSettings, GroundingSettings
from tests.deployments.grounding.conftest import MODEL, World
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage

TEXT = "The sky is blue. A lift takes 20 seconds and holds 8 people."
RIGHT = "The sky is blue."
WRONG = "A lift takes 30 seconds."
LAST = "A lift holds 8 people."
QUESTION = "Which colour is the sky?"
STREAMED = pytest.mark.parametrize("stream", [False, True])


@pytest.fixture
def checked(world: World) -> World:
    """A world whose passage contradicts the second sentence of the model's answer."""
    world.stage.retriever = ScriptedRetriever((passage(TEXT),))
    world.stage.model = ScriptedModel(f"{RIGHT} {WRONG} {LAST}")
    return world


def _policy(world: World, **checks: Any) -> None:
    world.stage.settings = GroundingSettings(fact_check=FactCheckSettings(**checks))


async def _chat(world: World, stream: bool, **more: Any) -> tuple[str, list[Any], dict[str, Any]]:
    """The text, its citations and `grounding`."""
    answer: Any = await world.client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": QUESTION}],
        extra_body={"file_search": {"vector_store_ids": ["vs_1"]}},
        stream=stream,
        **more,
    )
    if not stream:
        message = answer.choices[0].message
        cited = [one.model_extra["file_citation"] for one in message.annotations]
        return message.content, cited, answer.model_extra["grounding"]
    text, cited = "", []
    grounding: dict[str, Any] = {}
    async for chunk in answer:
        delta = chunk.choices[0].delta
        text += delta.content or ""
        cited += [one["file_citation"] for one in delta.model_extra.get("annotations") or ()]
        grounding = chunk.model_extra.get("grounding") or grounding
    return text, cited, grounding


async def _respond(world: World, stream: bool) -> tuple[str, list[Any], dict[str, Any]]:
    """The text as it was told, its citations and `grounding`."""
    tool: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    answer: Any = await world.client.responses.create(
        model=MODEL, input=QUESTION, tools=[tool], stream=stream
    )
    if not stream:
        part = answer.output[-1].content[0]
        cited = [one.model_dump() for one in part.annotations]
        return part.text, cited, answer.model_extra["grounding"]
    text, cited, final = "", [], None
    async for event in answer:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.output_text.annotation.added":
            cited.append(event.annotation.model_dump())
        elif event.type == "response.completed":
            final = event.response
    assert final is not None
    whole = final.output[-1].content[0]
    assert whole.text == text
    assert [one.model_dump() for one in whole.annotations] == cited
    return text, cited, final.model_extra["grounding"]


SURFACES = pytest.mark.parametrize("ask", [_chat, _respond])


@SURFACES
@STREAMED
async def test_each_sentence_is_told_its_verdict(checked: World, ask: Any, stream: bool) -> None:
    text, _, grounding = await ask(checked, stream)
    assert text == f"{RIGHT} {WRONG} {LAST}"
    verdicts = [sentence["verdict"] for sentence in grounding["sentences"]]
    assert verdicts == ["supported", "contradicted", "supported"]
    (against,) = grounding["contradictions"]
    assert text[against["start_index"] : against["end_index"]] == WRONG
    assert against["quote"] == "A lift takes 20 seconds and holds 8 people."
    assert (against["file_id"], against["page"], against["method"]) == ("file-1", 1, "facts")
    assert (grounding["dropped"], grounding["regenerated"]) == ([], False)
    assert grounding["sentences"][1]["reason"] == "other number 30"


@SURFACES
@STREAMED
async def test_a_dropped_sentence_is_told_with_its_reason_and_is_not_in_the_text(
    checked: World, ask: Any, stream: bool
) -> None:
    _policy(checked, contradicted="drop")
    text, cited, grounding = await ask(checked, stream)
    assert text == f"{RIGHT} {LAST}"
    assert [text[one["start_index"] : one["end_index"]] for one in cited] == [RIGHT, LAST]
    assert grounding["dropped"] == [
        {"text": WRONG, "verdict": "contradicted", "reason": "other number 30"}
    ]
    assert grounding["contradictions"] == []
    assert grounding["groundedness"] == 1.0


@SURFACES
@STREAMED
async def test_a_second_answer_is_told_as_such(checked: World, ask: Any, stream: bool) -> None:
    _policy(checked, contradicted="regenerate")
    checked.stage.model = ScriptedModel(answers=deque([WRONG, LAST]))
    text, cited, grounding = await ask(checked, stream)
    assert text == LAST
    assert len(cited) == 1
    assert grounding["regenerated"] is True
    assert grounding["dropped"] == []


@SURFACES
@STREAMED
async def test_an_answer_of_which_nothing_is_left_is_a_refusal(
    checked: World, ask: Any, stream: bool
) -> None:
    _policy(checked, contradicted="drop")
    checked.stage.model = ScriptedModel(WRONG)
    text, cited, grounding = await ask(checked, stream)
    assert text.startswith("I don't know")
    assert cited == []
    assert grounding["refused"] is True
    assert [one["text"] for one in grounding["dropped"]] == [WRONG]


@STREAMED
async def test_json_is_flagged_and_nothing_is_taken_out(checked: World, stream: bool) -> None:
    _policy(checked, contradicted="drop", unverifiable="drop")
    said = f'{{"lift": "{WRONG}"}}'
    checked.stage.model = ScriptedModel(said)
    text, _, grounding = await _chat(checked, stream, response_format={"type": "json_object"})
    assert text == said
    assert [one["verdict"] for one in grounding["sentences"]] != ["supported"]
    assert grounding["dropped"] == []
