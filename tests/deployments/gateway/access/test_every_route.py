"""Every route of the application: closed without a key, and open to the scopes that were chosen.

`routes.txt` has a line for each. A route that is new fails here until somebody has said, in
`scopes.py` and there, whom it is for.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Mount, Route

from cluster.database import Database
from cluster.keys import SCOPES
from deployments.gateway.access.scopes import is_end_users, is_open, scopes_of
from tests.fixtures.keys import add_key, bearer

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

CHOSEN: Final = (Path(__file__).parent / "routes.txt").read_text().splitlines()
OWN_TOKEN: Final = "token"
OPEN: Final = "open"


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of each; of a mounted folder, a file below it."""
    for route in app.routes:
        if isinstance(route, Mount):
            yield "GET", f"{route.path}/file"
        else:
            assert isinstance(route, Route), f"{route} is of a kind that nobody thought of"
            for method in sorted(route.methods or ()):
                yield method, route.path


def asked(path: str) -> str:
    return re.sub(r"{[^}]*}", "x", path)


def chosen_for(method: str, path: str) -> str:
    if is_open(path):
        return OPEN
    if is_end_users(method, path):
        return OWN_TOKEN
    scopes = scopes_of(method, asked(path))
    return "any" if scopes == frozenset(SCOPES) else ",".join(sorted(scopes))


def test_for_each_route_somebody_has_chosen_who_may(app: FastAPI) -> None:
    assert [f"{method} {path} {chosen_for(method, path)}" for method, path in routes(app)] == CHOSEN


async def test_without_a_key_every_route_but_the_health_checks_is_401(
    app: FastAPI, http: httpx2.AsyncClient
) -> None:
    for method, path in [*routes(app), ("GET", "/"), ("GET", "/v1/nothing"), ("PUT", "/v1/files")]:
        answer = await http.request(method, asked(path), content=b"\xff no JSON")
        wanted = 200 if is_open(path) else 401
        assert answer.status_code == wanted, f"{method} {path}: {answer.text}"
        if wanted == 401:
            assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_key_with_another_scope_is_403(
    app: FastAPI, http: httpx2.AsyncClient, database: Database
) -> None:
    keys = {scope: bearer(add_key(database, scope)[1]) for scope in SCOPES}
    for method, path in routes(app):
        if (chosen := chosen_for(method, path)) in (OPEN, OWN_TOKEN):
            continue
        wanted = SCOPES if chosen == "any" else chosen.split(",")
        for scope, header in keys.items():
            answer = await http.request(method, asked(path), headers=header)
            refused = answer.status_code == 403 and "missing_scope" in answer.text
            assert refused == (scope not in (*wanted, "admin")), f"{scope}: {method} {path}"
            assert answer.status_code not in (401, 500), answer.text


async def test_a_foreign_key_is_no_feedback_token_and_the_other_way_round(
    http: httpx2.AsyncClient, database: Database
) -> None:
    header = bearer(add_key(database, "admin")[1])
    answer = await http.post("/v1/feedback/end-user", json={"thumbs": "up"}, headers=header)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_token")
    answer = await http.get("/v1/models", headers=bearer("fbt_x.y"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


async def test_what_is_unknown_is_404_for_who_may_know(
    http: httpx2.AsyncClient, operator: dict[str, str]
) -> None:
    assert (await http.get("/v1/nothing", headers=operator)).status_code == 404
