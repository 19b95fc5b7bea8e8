"""A judge that is asked, asked again, and recalled."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.errors import ApiError
from deployments.evaluation.judges.choices import scale
from deployments.evaluation.judges.judge import Judge, JudgeSettings, Question, Sampling
from tests.fakes.judges import MemoryVerdicts, Reply, ScriptedJudge

TOP = Reply(["4"], [{"4": 0.5, "5": 0.25, "3": 0.25}])


def _question(text: str = "How good is it?", **more: Any) -> Question:
    messages = [{"role": "user", "content": text}]
    return Question("score", "criterion@1", messages, scale(1, 5), **more)


def _judge(say: ScriptedJudge, cache: MemoryVerdicts | None = None, **settings: Any) -> Judge:
    return Judge("alias", say, cache or MemoryVerdicts(), JudgeSettings(**settings))


async def test_a_verdict_is_weighted_by_its_probabilities() -> None:
    verdict = await _judge(ScriptedJudge(lambda _: TOP)).ask(_question())
    assert verdict.label == "4"
    assert verdict.value == pytest.approx(4.0)
    assert verdict.spread == pytest.approx(0.5**0.5)
    assert verdict.probabilities == pytest.approx({"1": 0, "2": 0, "3": 0.25, "4": 0.5, "5": 0.25})


async def test_without_probabilities_the_label_is_the_value() -> None:
    verdict = await _judge(ScriptedJudge(lambda _: "4")).ask(_question())
    assert (verdict.value, verdict.spread, verdict.probabilities) == (4.0, None, None)


async def test_it_is_asked_at_temperature_0_with_a_seed_in_the_grammar() -> None:
    scripted = ScriptedJudge(lambda _: TOP)
    await _judge(scripted).ask(_question())
    [body] = scripted.bodies
    assert body["model"] == "alias"
    assert (body["temperature"], body["seed"]) == (0.0, 0)
    assert body["structured_outputs"] == {"choice": ["1", "2", "3", "4", "5"]}
    assert (body["logprobs"], body["top_logprobs"]) == (True, 20)


async def test_the_users_sampling_is_passed_on() -> None:
    scripted = ScriptedJudge(lambda _: TOP)
    sampling = Sampling(temperature=0.7, top_p=0.9, seed=3, max_completions_tokens=500)
    await _judge(scripted).ask(_question(sampling=sampling))
    [body] = scripted.bodies
    assert (body["temperature"], body["top_p"], body["seed"]) == (0.7, 0.9, 3)
    assert body["max_completion_tokens"] > 500


async def test_what_is_no_verdict_is_counted_and_asked_again() -> None:
    answers = iter(["The answer is 4", "4"])
    scripted = ScriptedJudge(lambda _: next(answers))
    verdict = await _judge(scripted).ask(_question())
    assert (verdict.label, verdict.failures, verdict.calls) == ("4", 1, 2)
    assert [body["seed"] for body in scripted.bodies] == [0, 1]


async def test_a_verdict_that_never_comes_is_no_number() -> None:
    scripted = ScriptedJudge(lambda _: "forty-two")
    cache = MemoryVerdicts()
    verdict = await _judge(scripted, cache, attempts=2).ask(_question())
    assert (verdict.label, verdict.value, verdict.failures) == (None, None, 2)
    assert verdict.reason == "None of 2 answers was a verdict."
    assert len(scripted.bodies) == 2
    assert cache.kept == {}


async def test_the_same_words_are_asked_once() -> None:
    scripted, cache = ScriptedJudge(lambda _: TOP), MemoryVerdicts()
    judge = _judge(scripted, cache)
    first = await judge.ask(_question())
    again = await judge.ask(_question())
    assert len(scripted.bodies) == 1
    assert again == first.model_copy(update={"cached": True, "calls": 0})


@pytest.mark.parametrize(
    "other",
    [
        _question("How good is that?"),
        _question(sampling=Sampling(seed=1)),
        Question("score", "criterion@2", _question().messages, scale(1, 5)),
        Question("score", "criterion@1", _question().messages, scale(1, 4)),
    ],
    ids=["words", "sampling", "prompt", "scale"],
)
async def test_whatever_decides_a_verdict_is_part_of_its_key(other: Question) -> None:
    scripted = ScriptedJudge(lambda _: TOP)
    judge = _judge(scripted)
    await judge.ask(_question())
    verdict = await judge.ask(other)
    assert not verdict.cached
    assert len(scripted.bodies) == 2


async def test_an_alias_that_has_moved_does_not_recall_the_other_models_verdicts() -> None:
    cache = MemoryVerdicts()
    before, after = (
        ScriptedJudge(lambda _: "2", "adapter-1"),
        ScriptedJudge(lambda _: "5", "adapter-2"),
    )
    await _judge(before, cache).ask(_question())
    judge = _judge(after, cache)
    verdicts = [await judge.ask(_question()), await judge.ask(_question())]
    assert [verdict.label for verdict in verdicts] == ["5", "5"]
    assert [verdict.model for verdict in verdicts] == ["adapter-2", "adapter-2"]
    assert [verdict.cached for verdict in verdicts] == [False, True]


async def test_a_model_whose_name_is_known_is_recalled_without_a_call() -> None:
    cache = MemoryVerdicts()
    await _judge(ScriptedJudge(lambda _: TOP), cache).ask(_question())
    silent = ScriptedJudge(lambda _: TOP)
    judge = Judge("alias", silent, cache, model_id="judge-1")
    assert (await judge.ask(_question())).cached
    assert silent.bodies == []


@pytest.mark.parametrize("shape", ["choice", "json_schema"])
async def test_a_model_is_asked_without_what_it_refuses_by_name(shape: str) -> None:
    def say(body: Mapping[str, Any]) -> str:
        for name in ("temperature", "logprobs"):
            if name in body:
                raise ApiError(f"Unsupported parameter: '{name}'.", status=400)
        assert "top_logprobs" not in body
        return "4" if shape == "choice" else '{"verdict": "4"}'

    scripted = ScriptedJudge(say)
    judge = _judge(scripted, shape=shape)
    questions = [_question("a"), _question("b")]
    verdicts = await judge.ask_all(questions)
    assert [verdict.value for verdict in verdicts] == [4.0, 4.0]
    assert {verdict.without for verdict in verdicts} == {("logprobs", "temperature")}
    assert len(scripted.bodies) == 4
    again = await judge.ask(questions[0])
    assert (again.cached, again.without) == (True, ("logprobs", "temperature"))


async def test_a_question_that_is_refused_leaves_the_others_alone() -> None:
    def say(body: Mapping[str, Any]) -> str:
        if body["messages"][0]["content"] == "long":
            raise ApiError("The prompt has 9000 tokens.", status=400)
        return "4"

    verdicts = await _judge(ScriptedJudge(say)).ask_all([_question("long"), _question("short")])
    assert [verdict.label for verdict in verdicts] == [None, "4"]
    assert verdicts[0].reason == "The prompt has 9000 tokens."
    assert (verdicts[0].failures, verdicts[0].calls) == (0, 0)


@pytest.mark.parametrize("status", [401, 404, 429, 503])
async def test_an_error_that_is_not_the_questions_is_raised(status: int) -> None:
    def say(_: Mapping[str, Any]) -> str:
        raise ApiError("no", status=status)

    with pytest.raises(ApiError):
        await _judge(ScriptedJudge(say)).ask_all([_question("a"), _question("b")])


class _Crowded:
    """Counts how many calls are in flight, and lets them go together."""

    def __init__(self, together: int) -> None:
        self.most = self.now = 0
        self._barrier = asyncio.Barrier(together)

    async def chat(self, _body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.now += 1
        self.most = max(self.most, self.now)
        await self._barrier.wait()
        self.now -= 1
        return Reply(["3"]).body("judge-1", logprobs=False)


async def test_no_more_questions_are_in_flight_than_allowed() -> None:
    crowded = _Crowded(together=2)
    judge = Judge("m", crowded, MemoryVerdicts(), JudgeSettings(concurrency=2), model_id="judge-1")
    verdicts = await judge.ask_all([_question(str(number)) for number in range(6)])
    assert [verdict.label for verdict in verdicts] == ["3"] * 6
    assert crowded.most == 2


async def test_verdicts_come_in_the_order_of_their_questions() -> None:
    scripted = ScriptedJudge(lambda body: body["messages"][0]["content"])
    verdicts = await _judge(scripted).ask_all([_question(text) for text in "12345"])
    assert [verdict.label for verdict in verdicts] == list("12345")
