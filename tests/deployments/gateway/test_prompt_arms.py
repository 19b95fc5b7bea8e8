"""Arms with prompts of the records, on both surfaces."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.records import Trace
from cluster.settings import Settings
from deployments.gateway.services import Services
from tests.deployments.gateway.prompted import MODEL, over_stage, told
from tests.deployments.grounding.conftest import Stage, counter, stage
from tests.deployments.prompts.making import make_version, user_says
from tests.fixtures.gateway import fake_services

__all__ = ["counter", "stage"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def parts(settings: Settings, database: Database, stage: Stage) -> Services:
    return over_stage(fake_services(settings, database), stage)


async def start(http: httpx2.AsyncClient, *arms: dict[str, Any]) -> dict[str, Any]:
    body = {
        "alias": "assistant",
        "arms": [{"name": "control"}, *arms],
        "settings": {"metric": {"name": "feedback:feedback"}},
        "start": True,
    }
    made = await http.post("/v1/experiments", json=body)
    assert made.status_code == 200, made.text
    return dict(made.json())


async def user_of(http: httpx2.AsyncClient, arm: str, path: str, body: dict[str, Any]) -> str:
    """Ask until somebody is answered by the arm; who that is."""
    for number in range(50):
        asked = {"model": "assistant", "user": f"user {number}", **body}
        answer = await http.post(path, json=asked)
        assert answer.status_code == 200, answer.text
        if answer.headers.get("x-everloop-arm") == arm:
            return f"user {number}"
    raise AssertionError(f"nobody is answered by {arm}")


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", HELLO), ("/v1/responses", {"input": "hello"})]
)
async def test_an_arm_stays_with_the_version_that_it_was_started_with(
    path: str,
    body: dict[str, Any],
    http: httpx2.AsyncClient,
    parts: Services,
    stage: Stage,
    database: Database,
) -> None:
    digest = await make_version(database, "tone", user_says("Be brief."), "production")
    body = {**body, "stream": True}
    made = await start(http, {"name": "brief", "prompt": "tone"})
    assert [arm["prompt"] for arm in made["arms"]] == [None, f"tone@{digest}"]
    user = await user_of(http, "brief", path, body)
    assert ("user", "Be brief.") in told(stage.model)
    await make_version(database, "tone", user_says("Be long."), "production")
    await http.post(path, json={"model": "assistant", "user": user, **body})
    assert ("user", "Be brief.") in told(stage.model)
    await user_of(http, "control", path, body)
    assert told(stage.model) == [("user", "hello")]
    await parts.traces.flush()
    traces = await database.run(lambda session: list(session.scalars(select(Trace))))
    assert {(trace.arm, trace.prompt_version) for trace in traces} == {
        ("control", None),
        ("brief", f"tone@{digest}"),
    }


async def test_a_clients_own_prompt_keeps_out_of_an_experiment_on_prompts(
    http: httpx2.AsyncClient, stage: Stage, database: Database
) -> None:
    await make_version(database, "tone", user_says("Be brief."), "production")
    await make_version(database, "own", user_says("Be kind."), "production")
    await start(http, {"name": "brief", "prompt": "tone"})
    for number in range(10):
        asked = {"model": "assistant", "user": f"user {number}", "prompt": {"id": "own"}}
        answer = await http.post("/v1/chat/completions", json={**asked, **HELLO, "stream": True})
        assert answer.status_code == 200, answer.text
        assert "x-everloop-arm" not in answer.headers
        assert ("user", "Be kind.") in told(stage.model)


async def test_a_prompt_that_does_not_exist_is_refused_by_its_field(
    http: httpx2.AsyncClient,
) -> None:
    arms = [{"name": "control"}, {"name": "brief", "prompt": "nothing"}]
    settings = {"metric": {"name": "feedback:feedback"}}
    body = {"alias": "assistant", "arms": arms, "settings": settings}
    answer = await http.post("/v1/experiments", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "arms.1.prompt")


async def test_an_arm_whose_prompt_wants_what_nobody_gives_is_refused(
    http: httpx2.AsyncClient, database: Database
) -> None:
    wants = {**user_says("Sell {{ product }}."), "variables": {"product": {}}}
    await make_version(database, "pitch", wants)
    body = {"alias": "assistant", "arms": [{"name": "control"}, {"name": "a", "prompt": "pitch"}],
            "settings": {"metric": {"name": "trace:refused"}}}  # fmt: skip
    answer = await http.post("/v1/experiments", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "arms.1.prompt"
    assert "product" in answer.json()["error"]["message"]


async def test_an_arm_is_asked_by_name_with_its_prompt(
    http: httpx2.AsyncClient, stage: Stage, database: Database
) -> None:
    await make_version(database, "tone", user_says("Be brief."), "production")
    made = await start(http, {"name": "brief", "prompt": "tone"})
    model = f"arm:{made['id']}:brief"
    asked = {"model": model, "stream": True, **HELLO}
    answer = await http.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200, answer.text
    assert stage.model.calls[-1].body["model"] == MODEL
    assert ("user", "Be brief.") in told(stage.model)
