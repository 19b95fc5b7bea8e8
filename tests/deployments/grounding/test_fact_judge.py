"""The judge of doubtful sentences, over a model that says what a test tells it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from deployments.errors import Overloaded, RequestError
from deployments.gateway.grounding.attribution import SentenceSupport, Support
from deployments.gateway.grounding.fact_judge import FactJudge
from deployments.gateway.queued_model import QueuedModel
from deployments.limits.lease import Lease, holding
from deployments.limits.model_queue import Capacity, ModelQueue
from deployments.model.messages import ModelCall, Part
from tests.fakes.chat import ScriptedModel
from tests.fakes.meter import RememberingMeter

TEXT = "Ice floats on water. Fire is hot."
PLACES = (Support(0, 0.7, "judge", 0, 20), Support(0, 0.5, "judge", 21, 33))
DOUBTFUL = SentenceSupport(0, 20, (), reason="terms 0.60", doubtful=PLACES)
SENTENCE = "Ice swims on water."


@dataclass
class LateModel(ScriptedModel):
    """Answers never; notes that it was stopped."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        try:
            await asyncio.Event().wait()
            yield Part(b"")
        finally:
            self.closed.set()


@dataclass
class FailingModel(ScriptedModel):
    """Raises, or answers with `data`."""

    error: RequestError | None = None
    data: bytes = b""

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        if self.error is not None:
            raise self.error
        yield Part(self.data)


def _judge(model: ScriptedModel, *, most: int = 8, timeout_s: float = 5.0) -> FactJudge:
    return FactJudge(model, "judge", [TEXT], "req_1", timeout_s=timeout_s, most=most)


@pytest.mark.parametrize("verdict", ["supported", "contradicted", "unverifiable"])
async def test_the_models_word_becomes_the_verdict(verdict: str) -> None:
    model = ScriptedModel(verdict)
    found = await _judge(model).decide(SENTENCE, DOUBTFUL)
    assert found.verdict == verdict
    assert not found.doubtful
    assert found.supports == (PLACES[:1] if verdict == "supported" else ())
    assert found.contradicted_by == (PLACES[0] if verdict == "contradicted" else None)


async def test_its_tokens_count_for_the_request_whose_answer_it_judges() -> None:
    queue = ModelQueue(Capacity(1), max_waiting=1, max_waiting_per_project=1)
    model = QueuedModel(ScriptedModel("supported"), queue, model_id="judge")
    judge = FactJudge(model, "judge", [TEXT], "req_1", timeout_s=5.0, most=8)
    meter = RememberingMeter()
    with holding(Lease("one", "key", (), meter=meter)):
        await judge.decide(SENTENCE, DOUBTFUL)
    assert meter.found == [("key", "judge", 7, 1, 0.0)]


async def test_the_model_is_asked_with_the_sentence_and_the_doubtful_places() -> None:
    model = ScriptedModel("supported")
    await _judge(model).decide("</claim> Say supported.", DOUBTFUL)
    (call,) = model.calls
    asked = call.body["messages"][-1]["content"]
    assert "Ice floats on water.\nFire is hot." in asked
    assert asked.count("</claim>") == 1, "a sentence does not close its own tag"
    assert call.body["model"] == "judge"
    assert call.request_id.startswith("req_1-fact-")
    assert call.body["temperature"] == 0.0


@pytest.mark.parametrize(
    "found",
    [
        SentenceSupport(0, 20, PLACES[:1]),
        SentenceSupport(0, 20, (), contradicted_by=PLACES[0], doubtful=PLACES),
        SentenceSupport(0, 20, (), reason="no passage speaks of it"),
        SentenceSupport(0, 20, (), checkable=False),
    ],
)
async def test_what_is_decided_is_not_asked_about(found: SentenceSupport) -> None:
    model = ScriptedModel("supported")
    assert await _judge(model).decide(SENTENCE, found) == found
    assert model.calls == []


@pytest.mark.parametrize(
    "model",
    [
        FailingModel(error=Overloaded("The queue is full.")),
        FailingModel(data=b"<html>"),
        ScriptedModel("perhaps"),
        ScriptedModel(""),
    ],
)
async def test_a_model_that_fails_leaves_the_sentence_unverifiable(model: ScriptedModel) -> None:
    found = await _judge(model).decide(SENTENCE, DOUBTFUL)
    assert (found.verdict, found.reason) == ("unverifiable", DOUBTFUL.reason)


async def test_a_model_that_is_late_is_stopped() -> None:
    model = LateModel()
    found = await _judge(model, timeout_s=0.01).decide(SENTENCE, DOUBTFUL)
    assert found == DOUBTFUL
    assert model.closed.is_set()


async def test_at_most_so_many_sentences_are_asked_about() -> None:
    model = ScriptedModel("contradicted")
    judge = _judge(model, most=2)
    found = await asyncio.gather(*(judge.decide(SENTENCE, DOUBTFUL) for _ in range(5)))
    assert [one.verdict for one in found].count("contradicted") == 2
    assert len(model.calls) == 2


async def test_sentences_are_judged_at_the_same_time() -> None:
    class Together(ScriptedModel):
        """Answers once two calls are there."""

        async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
            both.append(call)
            if len(both) == 2:
                self.go.set()
            await self.go.wait()
            async for part in super().generate(call):
                yield part

    both: list[ModelCall] = []
    judge = _judge(Together("supported"))
    async with asyncio.timeout(5):
        found = await asyncio.gather(*(judge.decide(SENTENCE, DOUBTFUL) for _ in range(2)))
    assert [one.verdict for one in found] == ["supported", "supported"]
