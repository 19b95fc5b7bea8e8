"""Every route with the ids of another project: it answers as to ids that nobody has.

The walk goes over the application's own routes: one that this file does not know fails it.
"""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import product
from typing import Any, Final, NamedTuple

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
from tests.fakes.chat import ScriptedModel
from tests.fixtures.gateway import fake_services
from tests.fixtures.tenant import BASE, Tenant, add_everything, add_project

WORD: Final = "8d1f03a6c2e74b95"
NOBODYS: Final = "5b90e4d7a1c8f362"
"""Of the same form; no record has it."""
_PARAMETER: Final = re.compile(r"\{(\w+)(?::\w+)?\}")
_SAID: Final = {"messages": [{"role": "user", "content": "What is it?"}]}
_CHECK: Final = {
    "type": "string_check",
    "name": "right",
    "input": "{{sample.output_text}}",
    "reference": "x",
    "operation": "eq",
}

BODIES: Final[dict[str, Any]] = {
    "/v1/vector_stores/{vector_store_id}": {"name": "mine"},
    "/v1/vector_stores/{vector_store_id}/search": {"query": "secret"},
    "/v1/vector_stores/{vector_store_id}/files": {"file_id": "file-none"},
    "/v1/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {"a": "b"}},
    "/v1/vector_stores/{vector_store_id}/file_batches": {"file_ids": ["file-none"]},
    "/v1/aliases/{name}/promote": {"target": BASE, "gate": "gate_none"},
    "/v1/aliases/{name}/rollback": {"steps": 1},
    "/v1/evals/{eval_id}": {"name": "mine"},
    "/v1/evals/{eval_id}/runs": {
        "data_source": {
            "type": "jsonl",
            "source": {"type": "file_content", "content": [{"item": {"a": "b"}}]},
        }
    },
    "/v1/prompts/{name}": {"description": "mine"},
    "/v1/prompts/{name}/versions": {"messages": [{"role": "system", "content": "mine"}]},
    "/v1/prompts/{name}/render": {},
    "/v1/prompts/{name}/labels/{label}": {"version": "1"},
    "/v1/prompts/{name}/labels/{label}/rollback": {},
    "/v1/experiments/{experiment_id}": {"name": "mine"},
    "/v1/experiments/{experiment_id}/stop": {"reason": "mine"},
    "/v1/experiments/{experiment_id}/arms/{arm}/stop": {"reason": "mine"},
    "/v1/experiments/{experiment_id}/ramp": {"share": 1.0},
    "/v1/experiments/{experiment_id}/promote": {"arm": "b"},
    "/v1/feedback/{feedback_id}/review": {"review": "accepted"},
    "/v1/drift/monitors/{monitor_id}": {"name": "mine"},
    "/v1/drift/reports/{report_id}/dataset": {"topic": 1, "kind": "eval"},
    "/v1/projects/{project_id}": {"name": "mine"},
    "/v1/keys/{key_id}": {"name": "mine"},
    "/v1/keys/{key_id}/rotate": {"grace_s": 0},
}
"""What is sent to a route with an id in its path, where it takes a body."""

QUERIES: Final = {
    "/v1/prompts/{name}/diff": {"from": "1"},
}


OTHERWISE: Final = {("DELETE", "/v1/models/{model_id:path}"): {400, 404}}
"""Routes that answer to no such id otherwise: only adapters can be deleted there."""


class Reference(NamedTuple):
    """A request whose body names what `w` has; it is refused as if there were no such thing."""

    method: str
    path: str
    body: Any
    statuses: frozenset[int] = frozenset({404})


def _models(w: str) -> list[str]:
    return [f"ft:{BASE}:{w}", f"alias-{w}", f"arm:exp_{w}:b"]


def _naming_models(w: str) -> list[Reference]:
    return [
        request
        for model in _models(w)
        for request in (
            Reference("POST", "/v1/chat/completions", {"model": model, **_SAID}),
            Reference("POST", "/v1/completions", {"model": model, "prompt": "What?"}),
            Reference("POST", "/v1/responses", {"model": model, "input": "What?"}),
            Reference("POST", "/v1/embeddings", {"model": model, "input": "What?"}),
            Reference("POST", "/v1/rerank", {"model": model, "query": "What?", "documents": ["a"]}),
        )
    ]


def references(w: str, eval_id: str, store_id: str) -> list[Reference]:
    """Every way to name another project's things in a body. `eval_id` and `store_id` are one's
    own."""
    file, store, prompt = f"file-{w}", f"vs_{w}", f"plan-{w}"
    ask = {"model": BASE, "input": "What is it?"}
    search = {"tools": [{"type": "file_search", "vector_store_ids": [store]}]}
    runs = f"/v1/evals/{eval_id}/runs"
    by_model = {
        "type": "completions",
        "source": {"type": "file_content", "content": [{"item": {"question": "What?"}}]},
    }
    arms = [{"name": "a"}, {"name": "b", "model": f"ft:{BASE}:{w}"}]
    prompted = [{"name": "a"}, {"name": "b", "prompt": prompt}]
    plan = {"metric": {"name": "trace:empty"}}
    train = {"model": BASE, "training_file": file}
    stays = frozenset({400, 404})
    return [
        *_naming_models(w),
        Reference("POST", "/v1/responses", {**ask, "previous_response_id": f"resp_{w}"}),
        Reference("POST", "/v1/responses", {**ask, **search}),
        Reference("POST", "/v1/responses", {**ask, "prompt": {"id": prompt}}),
        Reference("POST", "/v1/responses", {**ask, "prompt": {"id": f"prompt_{w}"}}),
        Reference(
            "POST",
            "/v1/chat/completions",
            {"model": BASE, **_SAID, "file_search": {"vector_store_ids": [store]}},
        ),
        Reference(
            "POST", "/v1/chat/completions", {"model": BASE, **_SAID, "prompt": {"id": prompt}}
        ),
        Reference("POST", "/v1/vector_stores", {"file_ids": [file]}),
        Reference("POST", f"/v1/vector_stores/{store_id}/files", {"file_id": file}),
        Reference("POST", f"/v1/vector_stores/{store_id}/file_batches", {"file_ids": [file]}),
        Reference("POST", "/v1/fine_tuning/jobs", train, stays),
        Reference("POST", "/v1/gate_runs", _gate(f"ft:{BASE}:{w}", "file-none")),
        Reference("POST", "/v1/gate_runs", _gate(f"arm:exp_{w}:b", "file-none")),
        Reference("POST", "/v1/aliases", {"name": "mine", "target": f"ft:{BASE}:{w}"}, stays),
        Reference(
            "POST",
            "/v1/aliases/assistant/promote",
            {"target": BASE, "gate": f"gate_{w}"},
        ),
        Reference(
            "POST",
            "/v1/aliases/assistant/promote",
            {"target": f"ft:{BASE}:{w}", "override": True, "reason": "mine"},
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": f"alias-{w}", "arms": arms, "settings": plan}
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": "assistant", "arms": arms, "settings": plan}
        ),
        Reference(
            "POST", "/v1/experiments", {"alias": "assistant", "arms": prompted, "settings": plan}
        ),
        Reference("POST", "/v1/feedback", {"trace_id": f"trace_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback", {"request_id": f"req_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback", {"response_id": f"resp_{w}", "thumbs": "up"}),
        Reference("POST", "/v1/feedback/tokens", {"trace_ids": [f"trace_{w}"]}),
        Reference(
            "POST",
            "/v1/evals/comparisons",
            {"baseline": f"evalrun_{w}", "candidate": f"evalrun_other{w}"},
        ),
        Reference(
            "POST",
            runs,
            {"data_source": {"type": "jsonl", "source": {"type": "file_id", "id": file}}},
        ),
        *(
            Reference("POST", runs, {"data_source": {**by_model, "model": model}})
            for model in _models(w)
        ),
        Reference(
            "POST",
            runs,
            {
                "data_source": {
                    "type": "completions",
                    "source": {"type": "stored_completions", "metadata": {"w": w}},
                    "model": BASE,
                }
            },
            stays,
        ),
    ]


def _gate(adapter: str, file: str) -> dict[str, str]:
    return {"adapter": adapter, "alias": "assistant", "evaluation_file": file}


FILTERS: Final = {
    "/v1/traces": {
        "alias": f"alias-{WORD}",
        "model": f"ft:{BASE}:{WORD}",
        "prompt_version": f"plan-{WORD}",
        "experiment_id": f"exp_{WORD}",
        "vector_store": f"vs_{WORD}",
        "file": f"file-{WORD}",
        "q": WORD,
    },
    "/v1/vector_stores": {"name": f"the secret {WORD}"},
    "/v1/gate_runs": {"alias": "assistant", "adapter": f"ft:{BASE}:{WORD}"},
    "/v1/experiments": {"alias": f"alias-{WORD}"},
    "/v1/feedback": {"trace_id": f"trace_{WORD}"},
    "/v1/alerts": {"source": f"monitor_{WORD}"},
}
"""Parameters of lists that ask for what another project has."""

FREE: Final = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/v1/files",
    "/v1/prompts",
    "/v1/prompts/import",
    "/v1/evals",
    "/v1/drift/monitors",
    "/v1/alerts/test",
    "/v1/feedback/end-user",
    "/v1/fine_tuning/alpha/graders/validate",
    "/v1/fine_tuning/alpha/graders/run",
    "/v1/moderations",
    "/v1/keys",
    "/v1/projects",
    "/v1/audit",
}
"""Routes whose body names no id of a thing of the project."""


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
    for model in _models(WORD):
        with acting_in(theirs.project_id):
            target = await parts.directory.resolve(model)
        assert target.name in {theirs.adapter, BASE}
    with acting_in(theirs.project_id):
        assert await parts.experiments.running(f"alias-{WORD}") is not None
        assert (await parts.prompts.find(f"plan-{WORD}")).name == f"plan-{WORD}"
    with acting_in(mine.project_id):
        assert await parts.experiments.running(f"alias-{WORD}") is None
    for model in _models(WORD):
        answer = await http.post("/v1/chat/completions", json={"model": model, **_SAID})
        assert answer.status_code == 404
    rendered = await http.post(f"/v1/prompts/plan-{WORD}/render", json={})
    assert rendered.status_code == 404
