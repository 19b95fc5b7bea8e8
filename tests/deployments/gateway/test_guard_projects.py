"""`guards.projects`: a project's policy stands in place of the common one, on every route."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.settings import AccessSettings, Settings
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from tests.deployments.gateway.prompted import MODEL, over_stage
from tests.deployments.grounding.conftest import Stage, counter, stage
from tests.fakes.chat import ScriptedModel
from tests.fakes.patient_guards import patient_guards
from tests.fixtures.keys import add_key, add_project

__all__ = ["counter", "stage"]

KEY = "sk-el-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
SAID = f"The falcon is here, {KEY} it is."
COMMON = f"The <BLOCKED_TERM> is here, {KEY} it is."
THEIRS = "The falcon is here, <API_KEY> it is."
INSULT = "You are a stupid idiot."
POLICY: dict[str, Any] = {
    "blocked_terms": {"terms": ["falcon", "heron"]},
    "secrets": {"output": "off", "input": "off"},
    "projects": {"proj_strict": {"toxicity": {"input": "block"}}},
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={
            "access": AccessSettings(keys="required"),
            "guards": patient_guards(POLICY),
        }
    )


@pytest.fixture
def answering(settings: Settings, parts: Services, stage: Stage) -> Services:
    """The gateway's collaborators, with a model that says what guards look for."""
    stage.model = ScriptedModel(SAID)
    return dataclasses.replace(over_stage(parts, stage), settings=settings)


@pytest.fixture
async def http(answering: Services) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=create_app(answering), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as client:
        yield client
    await answering.traces.close()


@pytest.fixture
def clients(
    http: httpx2.AsyncClient, database: Database
) -> tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]:
    """Of the default project, and of the one with a policy of its own."""
    keys = (
        add_key(database, "inference")[1],
        add_key(database, "inference", project=add_project(database, "strict"))[1],
    )
    common, strict = (
        openai.AsyncOpenAI(
            base_url="http://everloop/v1", api_key=key, http_client=http, max_retries=0
        )
        for key in keys
    )
    return common, strict


Clients = tuple[openai.AsyncOpenAI, openai.AsyncOpenAI]


async def chat(client: openai.AsyncOpenAI, text: str = "Hello", *, stream: bool = False) -> str:
    messages: Any = [{"role": "user", "content": text}]
    if not stream:
        whole = await client.chat.completions.create(model=MODEL, messages=messages)
        return whole.choices[0].message.content or ""
    events = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    return "".join([e.choices[0].delta.content or "" async for e in events if e.choices])


async def respond(client: openai.AsyncOpenAI, text: str = "Hello", *, stream: bool = False) -> str:
    if not stream:
        return (await client.responses.create(model=MODEL, input=text)).output_text
    events = await client.responses.create(model=MODEL, input=text, stream=True)
    return "".join([e.delta async for e in events if e.type == "response.output_text.delta"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("ask", [chat, respond])
async def test_answers_go_through_the_projects_own_guards(
    clients: Clients, ask: Any, stream: bool
) -> None:
    common, strict = clients
    assert await ask(common, stream=stream) == COMMON
    assert await ask(strict, stream=stream) == THEIRS


@pytest.mark.parametrize("ask", [chat, respond])
async def test_questions_go_through_the_projects_own_guards(clients: Clients, ask: Any) -> None:
    common, strict = clients
    assert await ask(common, INSULT)
    with pytest.raises(openai.BadRequestError, match="toxicity"):
        await ask(strict, INSULT)
    assert await ask(strict, "Where is the heron?")
    with pytest.raises(openai.BadRequestError, match="blocked_terms"):
        await ask(common, "Where is the heron?")


async def test_moderations_judge_by_the_projects_policy(
    clients: Clients, answering: Services
) -> None:
    await answering.guards.judging(DEFAULT_PROJECT).warm_up()  # takes longer than a request may
    found = [(await client.moderations.create(input="A heron.")).results[0] for client in clients]
    ours = [(one.flagged, (one.categories.model_extra or {})["blocked_terms"]) for one in found]
    assert ours == [(True, True), (False, False)]
    applied: Any = [one.category_applied_input_types.model_extra or {} for one in found]
    assert [one["blocked_terms"] for one in applied] == [["text"], []]
