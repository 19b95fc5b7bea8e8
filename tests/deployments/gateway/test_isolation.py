"""Every route with the ids of another project: it answers as to ids that nobody has.

The walk goes over the application's own routes: one that `foreign_ids.py` does not know fails it.
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import product
from typing import Any, Final

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import select

from cluster.database import Database
from cluster.models import ensure_model
from cluster.records import Alias, PromptRecord, PromptVersion
from cluster.settings import AccessSettings, Settings
from cluster.tenancy import acting_in
from deployments.deletion.rows import owned_tables
from deployments.gateway.grounding.answer_request import ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.services import Services
from deployments.prompts import PromptLibrary
from tests.deployments.gateway.foreign_ids import (
    BODIES,
    FILTERS,
    FREE,
    NOBODYS,
    OTHERWISE,
    QUERIES,
    SAID,
    WORD,
    models,
    references,
)
from tests.fakes.chat import ScriptedModel
from tests.fixtures.gateway import fake_services
from tests.fixtures.tenant import BASE, Tenant, add_everything, add_project

_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_CHECK: Final = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "x",
    "operation": "eq",
}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    """As `everloop up` has it: without a key nobody gets in."""
    return Settings(data_dir=tmp_path, access=AccessSettings(keys="required"))


@pytest.fixture
async def parts(settings: Settings, database: Database) -> Services:
    """Fakes behind the real gateway, which answers from documents too."""
    made = fake_services(settings, database)
    folder = ensure_model("packaged:all-minilm-l6-v2", settings.cache_dir)
    answerer = GroundedAnswerer(
        retriever=made.retriever,
        profiles={BASE: ChatProfile(ScriptedModel(), TokenCounter(folder), 2048)},
        embedder=made.embedder,
        prompts=PromptLibrary(),
        evaluator=made.evaluator,
        settings=settings.grounding,
        sample_rate=0.0,
    )
    return replace(made, answerer=answerer)


@pytest.fixture
def theirs(database: Database) -> Tenant:
    """A project that has everything."""
    return add_project(database, "theirs", WORD)


@pytest.fixture
def mine(database: Database) -> Tenant:
    """Whoever tries to see it."""
    return add_project(database, "mine")


@pytest.fixture
def ids(database: Database, parts: Services, theirs: Tenant) -> dict[str, list[str]]:
    """What `theirs` has."""
    return add_everything(database, parts.storage, theirs)


@pytest.fixture
async def http(
    app: FastAPI, parts: Services, mine: Tenant, ids: dict[str, list[str]]
) -> AsyncIterator[httpx2.AsyncClient]:
    """Requests with the key of `mine`."""
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://everloop", headers=mine.headers
    ) as client:
        yield client
    await parts.traces.close()


def routes(app: FastAPI) -> Iterator[tuple[str, APIRoute]]:
    """Every method and route of the API."""
    for route in app.routes:
        if isinstance(route, APIRoute):
            for method in sorted(route.methods):
                yield method, route


def rows_of(database: Database, project_id: str) -> dict[str, list[str]]:
    """All that a project has, table by table, as the database has it."""
    with database.session(read_only=True) as session:
        found = {
            table.name: session.execute(select(table).where(table.c.project_id == project_id))
            for table in owned_tables()
        }
        return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def paths(route: APIRoute, ids: dict[str, list[str]]) -> Iterator[str]:
    """The route's path with their ids, every combination."""
    resource = route.path.split("/")[2]
    names = _PARAMETER.findall(route.path)
    for values in product(*(ids[f"{resource}.{name}"] for name in names)):
        path = route.path
        for value in values:
            path = _PARAMETER.sub(lambda _, value=value: value, path, count=1)  # type: ignore[misc]
        yield path


def told(answer: httpx2.Response, word: str) -> tuple[Any, ...]:
    """All that an answer says but its own ids, with `word` left out."""
    headers = {
        name: value.replace(word, "…")
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "x-trace-id", "date"}
    }
    return answer.status_code, headers, answer.text.replace(word, "…")


async def both(
    http: httpx2.AsyncClient, method: str, path: str, body: Any, query: Any = None
) -> httpx2.Response:
    """Ask with their ids and with nobody's; the answers must be the same."""
    seen = []
    for word in (WORD, NOBODYS):
        given = None if body is None else _with(body, word)
        answer = await http.request(
            method, path.replace(WORD, word), json=given, params=_with(query or {}, word)
        )
        seen.append((told(answer, word), answer))
    assert seen[0][0] == seen[1][0], f"{method} {path} {body}"
    return seen[0][1]


def _with(value: Any, word: str) -> Any:
    if isinstance(value, str):
        return value.replace(WORD, word)
    if isinstance(value, dict):
        return {key: _with(item, word) for key, item in value.items()}
    if isinstance(value, list):
        return [_with(item, word) for item in value]
    return value


async def test_every_route_with_anothers_ids_answers_as_to_nobodys(
    app: FastAPI,
    http: httpx2.AsyncClient,
    database: Database,
    theirs: Tenant,
    ids: dict[str, list[str]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = rows_of(database, theirs.project_id)
    empty = [name for name, rows in before.items() if not rows]
    assert not empty, f"tests/fixtures/tenant.py makes no row of {empty}"
    walked = asked = 0
    for method, route in routes(app):
        if "{" not in route.path:
            continue
        walked += 1
        body = None
        if route.body_field is not None:
            assert route.path in BODIES, f"say in BODIES what {method} {route.path} takes"
            body = BODIES[route.path]
        for path in paths(route, ids):
            answer = await both(http, method, path, body, QUERIES.get(route.path))
            assert answer.status_code in OTHERWISE.get((method, route.path), {404}), (
                f"{method} {path}: {answer.status_code} {answer.text}"
            )
            asked += 1
    assert rows_of(database, theirs.project_id) == before
    with capsys.disabled():
        print(f"\n{walked} routes, {asked} requests with another project's ids: all 404")
    assert walked >= 70
    assert asked >= 100


async def test_no_body_reaches_anothers_things(
    app: FastAPI, http: httpx2.AsyncClient, database: Database, theirs: Tenant
) -> None:
    made = await http.post(
        "/v1/evals",
        json={
            "name": "mine",
            "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
            "testing_criteria": [_CHECK],
        },
    )
    store = (await http.post("/v1/vector_stores", json={"name": "mine"})).json()["id"]
    before = rows_of(database, theirs.project_id)
    found = references(WORD, made.json()["id"], store)
    for request in found:
        answer = await both(http, request.method, request.path, request.body)
        said = f"{request.method} {request.path} {request.body}: {answer.text}"
        assert answer.status_code in request.statuses, said
    assert rows_of(database, theirs.project_id) == before
    taken = {
        (request.method, _pattern(request.path, made.json()["id"], store)) for request in found
    }
    for method, route in routes(app):
        if route.body_field is None or "{" in route.path or method == "GET":
            continue
        known = route.path in FREE or (method, route.path) in taken
        assert known, f"say in `references` what ids the body of {method} {route.path} may name"


def _pattern(path: str, eval_id: str, store_id: str) -> str:
    return path.replace(eval_id, "{eval_id}").replace(store_id, "{vector_store_id}")


async def test_no_list_shows_anothers_things(
    app: FastAPI, http: httpx2.AsyncClient, theirs: Tenant, ids: dict[str, list[str]]
) -> None:
    looked = 0
    for method, route in routes(app):
        if method != "GET" or "{" in route.path:
            continue
        answer = await http.get(route.path)
        expected = 403 if route.path == "/metrics" else 200  # of all projects: the operator's
        assert answer.status_code == expected, f"{route.path}: {answer.text}"
        assert WORD not in answer.text, route.path
        looked += 1
        for name, value in FILTERS.get(route.path, {}).items():
            filtered = await both(http, "GET", route.path, None, {name: value})
            assert filtered.status_code == 200, f"{route.path}?{name}={value}: {filtered.text}"
            assert filtered.json()["data"] == [], f"{route.path}?{name}={value}"
        resource = f"{route.path.removeprefix('/v1/').partition('/')[0]}."
        cursors = [found for key, found in ids.items() if key.startswith(resource)]
        for cursor, value in product(("after", "before"), (v for found in cursors for v in found)):
            paged = await both(http, "GET", route.path, None, {cursor: value})
            assert WORD not in paged.text.replace(value, ""), f"{route.path}?{cursor}={value}"
    assert looked >= 15


async def test_names_are_independent(
    http: httpx2.AsyncClient, database: Database, mine: Tenant, theirs: Tenant
) -> None:
    """A prompt and an alias of a name that another project has are one's own from the start."""
    name = f"plan-{WORD}"
    made = await http.post(
        "/v1/prompts",
        json={"name": name, "version": {"messages": [{"role": "system", "content": "mine"}]}},
    )
    assert (made.status_code, made.json()["latest"]) == (200, 1), made.text
    alias = await http.post("/v1/aliases", json={"name": f"alias-{WORD}", "target": BASE})
    assert (alias.status_code, alias.json()["version"]) == (200, 1), alias.text
    with acting_in(theirs.project_id), database.session(read_only=True) as session:
        assert session.scalars(select(PromptVersion)).one().body["messages"][0]["content"] != "mine"
        assert session.scalars(select(Alias.target)).one() == theirs.adapter
    with acting_in(mine.project_id), database.session(read_only=True) as session:
        assert session.scalars(select(PromptRecord.name)).all() == [name]


async def test_what_a_gateway_remembers_of_one_project_answers_no_other(
    http: httpx2.AsyncClient, parts: Services, theirs: Tenant, mine: Tenant
) -> None:
    """Aliases, adapters, arms, prompts and running experiments are remembered by project."""
    for model in models(WORD):
        with acting_in(theirs.project_id):
            target = await parts.directory.resolve(model)
        assert target.name in {theirs.adapter, BASE}
    with acting_in(theirs.project_id):
        assert await parts.experiments.running(f"alias-{WORD}") is not None
        assert (await parts.prompts.find(f"plan-{WORD}")).name == f"plan-{WORD}"
    with acting_in(mine.project_id):
        assert await parts.experiments.running(f"alias-{WORD}") is None
    for model in models(WORD):
        answer = await http.post("/v1/chat/completions", json={"model": model, **SAID})
        assert answer.status_code == 404
    rendered = await http.post(f"/v1/prompts/plan-{WORD}/render", json={})
    assert rendered.status_code == 404
