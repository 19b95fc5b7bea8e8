"""No two projects share a prefix of a prompt: every call to a model is salted by its project."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI

from cluster.database import Database
from cluster.models import ensure_model
from cluster.settings import AccessSettings, Settings
from deployments.gateway.grounding.answer_request import ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.services import Services
from deployments.model.messages import ModelCall
from deployments.prompts import PromptLibrary
from tests.fakes.chat import ScriptedModel, ScriptedRetriever, passage
from tests.fixtures.gateway import fake_services
from tests.fixtures.tenant import BASE, Tenant, add_project

SAID: Final = [{"role": "user", "content": "Which colour is the sky?"}]
STORES: Final = {"vector_store_ids": ["vs_1"]}
REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "chat": ("/v1/chat/completions", {"messages": SAID}),
    "completion": ("/v1/completions", {"prompt": "Which colour"}),
    "response": ("/v1/responses", {"input": "Which colour is the sky?"}),
    "grounded chat": ("/v1/chat/completions", {"messages": SAID, "file_search": STORES}),
    "grounded response": (
        "/v1/responses",
        {"input": "Which colour is the sky?", "tools": [{"type": "file_search", **STORES}]},
    ),
}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return Settings(data_dir=tmp_path, access=AccessSettings(keys="required"))


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
async def parts(settings: Settings, database: Database, model: ScriptedModel) -> Services:
    """A gateway whose one model notes what it is asked."""
    made = fake_services(settings, database)
    folder = ensure_model("packaged:all-minilm-l6-v2", settings.cache_dir)
    answerer = GroundedAnswerer(
        retriever=ScriptedRetriever((passage("The sky is blue."),)),
        profiles={BASE: ChatProfile(model, TokenCounter(folder), 2048)},
        embedder=made.embedder,
        prompts=PromptLibrary(),
        evaluator=made.evaluator,
        settings=settings.grounding,
        sample_rate=0.0,
    )
    return replace(made, models={BASE: model}, answerer=answerer)


@pytest.fixture
async def http(app: FastAPI, parts: Services) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as client:
        yield client
    await parts.traces.close()


async def salt_of(
    http: httpx2.AsyncClient, model: ScriptedModel, tenant: Tenant, kind: str, **more: Any
) -> str:
    path, body = REQUESTS[kind]
    answer = await http.post(path, json={"model": BASE, **body, **more}, headers=tenant.headers)
    assert answer.status_code == 200, answer.text
    call = model.calls.pop()
    assert not model.calls
    return str(call.salted()["cache_salt"])


async def test_calls_of_a_project_share_a_salt_and_those_of_two_do_not(
    http: httpx2.AsyncClient, model: ScriptedModel, database: Database
) -> None:
    one, other = add_project(database, "one"), add_project(database, "other")
    salts = {
        tenant.project_id: {await salt_of(http, model, tenant, kind) for kind in REQUESTS}
        for tenant in (one, other)
    }
    [ours], [theirs] = salts[one.project_id], salts[other.project_id]
    assert ours != theirs
    for salt in (ours, theirs):
        assert one.project_id not in salt
        chosen = await salt_of(http, model, other, "chat", cache_salt=ours)
        assert chosen not in {ours, theirs}, "a client chooses within its project only"


def test_a_clients_own_salt_divides_its_project_further() -> None:
    calls = [ModelCall("chat", {"cache_salt": own}, "r", project_id="p") for own in ("a", "b", "a")]
    salts = [call.salted()["cache_salt"] for call in calls]
    assert salts[0] == salts[2] != salts[1]
    assert calls[0].body == {"cache_salt": "a"}, "the body itself is as the client sent it"
