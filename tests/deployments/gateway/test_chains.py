"""Prompts with steps: one request, one trace, all of its tokens."""

import json
from collections import deque
from typing import Any

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.settings import Settings
from deployments.errors import InvalidRequest, Overloaded
from deployments.gateway.services import Services
from tests.deployments.gateway.prompted import MODEL, last_trace, over_stage, told
from tests.deployments.grounding.conftest import Stage, counter, stage
from tests.deployments.prompts.making import make_version, user_says
from tests.fixtures.gateway import fake_services

__all__ = ["counter", "stage"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

SCHEMA = {"type": "object", "properties": {"topic": {"type": "string"}}}
TOPIC = user_says("Topic of: {{ text }}", variables={"text": {}}, output_schema=SCHEMA)
OUTLINE = user_says("Outline {{ topic }}.", variables={"topic": {}})
CHAIN = {
    **user_says("{{ question }} / {{ found.topic }} / {{ outline }}"),
    "variables": {"question": {}},
    "steps": [
        {"name": "found", "prompt": "topic", "variables": {"text": "{{ question }}!"}},
        {
            "name": "outline",
            "prompt": "outline@1",
            "variables": {"topic": "{{ found.topic }}"},
            "max_tokens": 7,
        },
    ],
}
PROMPT: Any = {"id": "chain"}
JSON = '{"topic": "tea"}'


@pytest.fixture
def parts(settings: Settings, database: Database, stage: Stage) -> Services:
    return over_stage(fake_services(settings, database), stage)


@pytest.fixture
async def chain(database: Database, stage: Stage) -> dict[str, str]:
    """Digests of the prompts of a chain whose first steps are answered."""
    stage.model.answers = deque([JSON, "one two"])
    return {
        name: await make_version(database, name, body)
        for name, body in (("topic", TOPIC), ("outline", OUTLINE), ("chain", CHAIN))
    }


async def test_steps_run_in_order_and_are_variables_of_what_follows(
    client: openai.AsyncOpenAI,
    parts: Services,
    stage: Stage,
    database: Database,
    chain: dict[str, str],
) -> None:
    response = await client.responses.create(model=MODEL, prompt=PROMPT, input="Why?")
    assert response.output_text == "The sky is blue."
    assert told(stage.model, 0) == [("user", "Topic of: Why?!")]
    assert stage.model.calls[0].body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert told(stage.model, 1) == [("user", "Outline tea.")]
    assert stage.model.calls[1].body["max_tokens"] == 7
    assert told(stage.model) == [("user", "Why? / tea / one two")]
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (21, 2 + 2 + 4)
    trace = await last_trace(parts, database)
    assert trace.prompt_version == f"chain@{chain['chain']}"
    assert [(s["name"], s["prompt_version"]) for s in trace.body["steps"]] == [
        ("found", f"topic@{chain['topic']}"),
        ("outline", f"outline@{chain['outline']}"),
    ]
    assert trace.body["steps"][1]["tokens"] == {"prompt": 7, "completion": 2}
    assert trace.body["steps"][0]["ms"] >= 0
    assert trace.body["step_outputs"] == {"found": JSON, "outline": "one two"}
    assert (trace.prompt_tokens, trace.completion_tokens) == (21, 8)


async def test_the_share_of_each_step_is_of_the_time_that_is_left(
    http: httpx2.AsyncClient, stage: Stage, chain: dict[str, str]
) -> None:
    body = {"model": MODEL, "prompt": PROMPT, "messages": [{"role": "user", "content": "Why?"}]}
    headers = {"x-request-timeout": "9"}
    answered = await http.post("/v1/chat/completions", json=body, headers=headers)
    assert answered.status_code == 200, answered.text
    first, second, last = [call.deadline_s for call in stage.model.calls]
    assert first == pytest.approx(3, abs=0.5)
    assert second == pytest.approx(4.5, abs=0.7)
    assert last == pytest.approx(9, abs=1)


async def test_a_step_that_hangs_ends_with_its_share_and_is_named(
    http: httpx2.AsyncClient, stage: Stage, chain: dict[str, str]
) -> None:
    stage.model.hold_after = 0
    body = {"model": MODEL, "prompt": PROMPT, "input": "Why?"}
    answered = await http.post("/v1/responses", json=body, headers={"x-request-timeout": "3"})
    error = answered.json()["error"]
    assert (answered.status_code, error["param"]) == (504, "prompt.steps.found")
    assert "its share of the request's time" in error["message"]
    assert stage.model.stopped == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_chat_streams_the_final_step_and_counts_all_tokens(
    client: openai.AsyncOpenAI, stage: Stage, chain: dict[str, str], stream: bool
) -> None:
    asked: Any = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Why?"}],
        "extra_body": {"prompt": PROMPT},
    }
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
        chunks = [chunk async for chunk in await client.chat.completions.create(**asked)]
        texts = [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta]
        assert "".join(text for text in texts if text) == "The sky is blue."
        usage = chunks[-1].usage
    else:
        usage = (await client.chat.completions.create(**asked)).usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (21, 8)
    if not stream:
        assert usage.total_tokens == 29


async def test_a_step_may_say_what_is_searched_for(
    client: openai.AsyncOpenAI, stage: Stage, database: Database
) -> None:
    await make_version(database, "rewrite", user_says("Rewrite {{ text }}", variables={"text": {}}))
    body = {
        **user_says(
            "{{ passages | map(attribute='text') | join }} {{ question }} {{ search_query }}"
        ),
        "variables": {"passages": {"type": "array"}, "question": {}},
        "steps": [
            {
                "name": "search_query",
                "prompt": "rewrite",
                "variables": {"text": "{{ question }}"},
            }
        ],
    }
    await make_version(database, "chain", body)
    stage.model.answers = deque(["sky colour"])
    tool: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    question = "Which colour is the sky?"
    response = await client.responses.create(
        model=MODEL, prompt=PROMPT, input=question, tools=[tool]
    )
    assert stage.retriever.requests[-1].query == "sky colour"
    assert told(stage.model) == [("user", f"The sky is blue. {question} sky colour")]
    assert response.usage is not None
    assert response.usage.input_tokens == 14


@pytest.mark.parametrize(
    ("answers", "failure", "status", "said"),
    [
        ([JSON], Overloaded("The queue is full.", code="full"), 429, "The queue is full"),
        (["no json"], None, 422, "its output is no JSON: 'no json'"),
        (['{"other": 1}', "x"], None, 400, "has no attribute 'topic'"),
    ],
)
async def test_a_failing_step_fails_the_request_and_is_named(
    http: httpx2.AsyncClient,
    stage: Stage,
    chain: dict[str, str],
    answers: list[str],
    failure: Any,
    status: int,
    said: str,
) -> None:
    stage.model.answers, stage.model.failure = deque(answers), failure
    body = {"model": MODEL, "prompt": PROMPT, "input": "Why?", "stream": True}
    answered = await http.post("/v1/responses", json=body)
    error = answered.json()["error"]
    assert answered.status_code == status
    assert error["param"] in {"prompt.steps.found", "prompt.steps.outline"}
    assert f"of chain@{chain['chain']} failed: " in error["message"]
    assert said in error["message"]


async def test_a_client_gives_variables_and_never_outputs(
    http: httpx2.AsyncClient, stage: Stage, chain: dict[str, str]
) -> None:
    for variables, param in (({}, "question"), ({"question": "x", "found": "y"}, "found")):
        prompt = {"id": "chain", "variables": variables}
        answered = await http.post("/v1/responses", json={"model": MODEL, "prompt": prompt})
        assert answered.status_code == 400
        assert answered.json()["error"]["param"] == f"prompt.variables.{param}"
    assert stage.model.calls == []


async def test_steps_are_pinned_when_the_version_is_made(
    client: openai.AsyncOpenAI, stage: Stage, database: Database, chain: dict[str, str]
) -> None:
    await make_version(database, "topic", user_says("Another text."), "production")
    await client.responses.create(model=MODEL, prompt=PROMPT, input="Why?")
    assert told(stage.model, 0) == [("user", "Topic of: Why?!")]
    with pytest.raises(InvalidRequest, match="gives what it does not have: text"):
        await make_version(database, "chain", CHAIN)


async def test_chains_are_bounded_in_depth_and_calls(database: Database) -> None:
    def calling(name: str, times: int) -> dict[str, Any]:
        steps = [{"name": f"s{number}", "prompt": name} for number in range(times)]
        return {**user_says("x"), "steps": steps}

    await make_version(database, "leaf", user_says("x"))
    await make_version(database, "wide", calling("leaf", 8))
    await make_version(database, "deep", calling("wide", 1))
    for name, times, said in (("deep", 1, "4 prompts deep"), ("wide", 2, "19 model calls long")):
        with pytest.raises(InvalidRequest, match=said) as caught:
            await make_version(database, "over", calling(name, times))
        assert caught.value.param == "steps"


async def test_a_chain_calls_a_chain_in_the_same_trace(
    client: openai.AsyncOpenAI,
    parts: Services,
    stage: Stage,
    database: Database,
    chain: dict[str, str],
) -> None:
    outer = {
        **user_says("Said: {{ inner }}"),
        "steps": [{"name": "inner", "prompt": "chain", "variables": {"question": "How?"}}],
    }
    await make_version(database, "outer", outer)
    await client.responses.create(model=MODEL, prompt={"id": "outer"})
    assert told(stage.model, 2) == [("user", "How? / tea / one two")]
    assert told(stage.model) == [("user", "Said: The sky is blue.")]
    trace = await last_trace(parts, database)
    names = [step["name"] for step in trace.body["steps"]]
    assert names == ["inner.found", "inner.outline", "inner"]
    assert json.loads(trace.body["step_outputs"]["inner.found"]) == {"topic": "tea"}
