"""A model outside, over HTTP."""

from collections.abc import Mapping
from typing import Any

import pytest

from cluster.errors import ApiError, SettingsError, UnreachableError
from deployments.evaluation.judges.choices import scale
from deployments.evaluation.judges.endpoint import Endpoint, EndpointCaller
from deployments.evaluation.judges.judge import Judge, JudgeSettings, Question
from tests.fakes.judges import MemoryVerdicts, Reply, running_judge_api
from tests.fixtures.system import free_port

BODY: Mapping[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "?"}]}


async def _ask(endpoint: Endpoint, body: Mapping[str, Any] = BODY) -> Mapping[str, Any]:
    caller = EndpointCaller(endpoint)
    try:
        return await caller.chat(body)
    finally:
        await caller.close()


async def test_a_body_goes_out_as_it_is_with_the_key_of_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("THEIR_KEY", "sk-123")
    body = {**BODY, "structured_outputs": {"choice": ["A", "B"]}}
    with running_judge_api(lambda _: "A") as api:
        endpoint = Endpoint(base_url=api.url, api_key_env="THEIR_KEY")
        answer = await _ask(endpoint, body)
    assert answer["choices"][0]["message"]["content"] == "A"
    assert api.bodies == [body]
    assert api.headers[0]["authorization"] == "Bearer sk-123"
    assert "x-everloop-priority" not in api.headers[0]
    assert "sk-123" not in endpoint.model_dump_json()


async def test_an_everloop_is_asked_in_the_background() -> None:
    with running_judge_api(lambda _: "A") as api:
        await _ask(Endpoint(base_url=api.url, background=True))
    assert api.headers[0]["x-everloop-priority"] == "background"


async def test_only_an_everloop_gets_our_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_API_KEY", "sk-el-ours")
    with running_judge_api(lambda _: "A") as api:
        await _ask(Endpoint(base_url=api.url, background=True))
        await _ask(Endpoint(base_url=api.url))
    sent = [headers["authorization"] for headers in api.headers]
    assert sent == ["Bearer sk-el-ours", "Bearer none"]


async def test_a_full_queue_is_waited_for() -> None:
    with running_judge_api(lambda _: "A", refusals=2) as api:
        answer = await _ask(Endpoint(base_url=api.url, retries=2))
    assert answer["choices"][0]["message"]["content"] == "A"
    assert len(api.bodies) == 3


async def test_retries_have_a_bound() -> None:
    with running_judge_api(lambda _: "A", refusals=9) as api, pytest.raises(ApiError) as raised:
        await _ask(Endpoint(base_url=api.url, retries=1))
    assert raised.value.status == 429
    assert len(api.bodies) == 2


async def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("THEIR_KEY", raising=False)
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1", api_key_env="THEIR_KEY")
    with pytest.raises(SettingsError, match="THEIR_KEY"):
        await _ask(endpoint)


async def test_nobody_there_is_told() -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(UnreachableError, match="No model answers"):
        await _ask(Endpoint(base_url=url, retries=0))


async def test_a_judge_outside_is_asked_by_schema_and_weighted() -> None:
    tops: list[Mapping[str, float]] = [
        {'{"verdict":"': 1.0},
        {"4": 0.5, "2": 0.5},
        {'"}': 1.0},
    ]
    with running_judge_api(lambda _: Reply(['{"verdict":"', "4", '"}'], tops)) as api:
        caller = EndpointCaller(Endpoint(base_url=api.url))
        judge = Judge("m", caller, MemoryVerdicts(), JudgeSettings(shape="json_schema"))
        question = Question("score", "p@1", BODY["messages"], scale(1, 5))
        verdict = await judge.ask(question)
        await caller.close()
    assert verdict.value == pytest.approx(3.0)
    assert api.bodies[0]["response_format"]["json_schema"]["strict"] is True
