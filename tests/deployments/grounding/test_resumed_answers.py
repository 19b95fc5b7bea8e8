"""Grounded answers that outlive the model's replica."""

from dataclasses import replace

import pytest

from deployments.gateway.grounding.events import Finished, TextDelta
from deployments.handles import ModelHandle
from tests.deployments.grounding.conftest import Stage
from tests.fakes.chat import ScriptedRetriever, passage
from tests.fakes.engine import FakeEngine
from tests.fakes.replicas import FakeReplicas, Fate

ANSWER = "The sky is blue. Grass in spring is very green. Nobody knows why."
PASSAGES = (
    passage("The sky is blue.", number=1),
    passage("Grass in spring is very green.", number=2),
)


async def answered(stage: Stage, *fates: Fate) -> tuple[str, Finished]:
    """The text as it came, and what ended it."""
    stage = replace(stage, retriever=ScriptedRetriever(PASSAGES))
    replicas = FakeReplicas(FakeEngine(says=ANSWER, pace_s=0.005), list(fates))
    stage.model = ModelHandle(replicas, "m")  # type: ignore[assignment]
    answerer = stage.answerer()
    prepared = await answerer.prepare(stage.request("What colours are there?"), stage.trace)
    events = [event async for event in answerer.stream(prepared, stage.trace)]
    assert isinstance(events[-1], Finished)
    return "".join(e.text for e in events if isinstance(e, TextDelta)), events[-1]


@pytest.mark.parametrize("cut", range(1, len(ANSWER.split())))
async def test_citations_before_and_after_the_cut_are_those_of_an_undisturbed_answer(
    stage: Stage, cut: int
) -> None:
    text, whole = await answered(stage)
    assert text == ANSWER
    assert [citation.passage.page for citation in whole.citations] == [1, 2]
    assert "resumed" not in stage.trace.body
    assert await answered(stage, Fate(cut)) == (text, whole)
    assert stage.trace.body["resumed"] == [{"position": cut, "reason": "its replica died"}]
