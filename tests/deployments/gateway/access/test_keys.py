"""`/v1/keys`."""

import time
from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.keys import key_digest
from cluster.records import ApiKey, AuditEvent
from deployments.gateway.services import Services
from tests.fixtures.keys import add_key, add_project, bearer

Headers = dict[str, str]


async def made(http: httpx2.AsyncClient, headers: Headers, **body: Any) -> dict[str, Any]:
    given = {"name": "app", "scopes": ["inference"], **body}
    answer = await http.post("/v1/keys", json=given, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def status_of(http: httpx2.AsyncClient, key: str) -> int:
    return (await http.get("/v1/models", headers=bearer(key))).status_code


def events(database: Database, project: str = "proj_default") -> list[AuditEvent]:
    with database.session(read_only=True) as session:
        query = select(AuditEvent).where(AuditEvent.project_id == project)
        return list(session.scalars(query.order_by(AuditEvent.number)))


async def test_a_key_is_shown_once_and_kept_as_a_digest(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    key = await made(http, operator, expires_in=3600, metadata={"team": "search"})
    assert key["object"] == "api_key"
    assert key["expires_at"] == pytest.approx(time.time() + 3600, abs=5)
    assert await status_of(http, key["key"]) == 200
    answer = await http.get(f"/v1/keys/{key['id']}", headers=operator)
    told = answer.json()
    assert "key" not in told
    assert key["key"] not in answer.text
    assert (told["status"], told["scopes"], told["metadata"]) == (
        "active",
        ["inference"],
        {"team": "search"},
    )
    with database.session(read_only=True) as session:
        row = session.get_one(ApiKey, key["id"])
    assert row.digest == key_digest(key["key"])
    assert key["key"] not in str(vars(row))


async def test_a_revoked_key_counts_no_more_once_the_route_answers(
    http: httpx2.AsyncClient, operator: Headers
) -> None:
    key = await made(http, operator)
    assert await status_of(http, key["key"]) == 200
    answer = await http.delete(f"/v1/keys/{key['id']}", headers=operator)
    assert answer.json()["status"] == "revoked"
    assert await status_of(http, key["key"]) == 401
    again = await http.delete(f"/v1/keys/{key['id']}", headers=operator)
    assert again.json()["revoked_at"] == answer.json()["revoked_at"]
    changed = await http.post(f"/v1/keys/{key['id']}", json={"name": "x"}, headers=operator)
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "key_revoked")


async def test_a_revoked_key_is_not_what_was_last_known_of_it(
    http: httpx2.AsyncClient,
    operator: Headers,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revoked, other = await made(http, operator), await made(http, operator)
    assert await status_of(http, revoked["key"]) == await status_of(http, other["key"]) == 200
    await http.delete(f"/v1/keys/{revoked['id']}", headers=operator)

    async def away(*_: object, **__: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(database, "run", away)
    read = "/v1/static-nothing"  # found by nobody, after the key was looked at
    assert (await http.get(read, headers=bearer(other["key"]))).status_code == 403
    assert (await http.get(read, headers=bearer(revoked["key"]))).status_code == 503


async def test_backups_are_told_of_keys_that_end(
    http: httpx2.AsyncClient, operator: Headers, parts: Services
) -> None:
    told: list[object] = []
    object.__setattr__(parts, "note_deletion", lambda kind, ids: told.append((kind, ids)))
    first, second = await made(http, operator), await made(http, operator)
    await http.delete(f"/v1/keys/{first['id']}", headers=operator)
    await http.post(f"/v1/keys/{second['id']}/rotate", json={}, headers=operator)
    assert told == [("key", [first["id"]]), ("key", [second["id"]])]


async def test_a_key_changes_its_name_limits_and_expiry(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    key = await made(http, operator, expires_in=60)
    path = f"/v1/keys/{key['id']}"
    kept = await http.post(path, json={"name": "other"}, headers=operator)
    assert (kept.json()["name"], kept.json()["expires_at"]) == ("other", key["expires_at"])
    body = {"expires_in": None, "limits": {"requests_per_minute": 5}}
    changed = await http.post(path, json=body, headers=operator)
    assert changed.json()["expires_at"] is None
    assert changed.json()["limits"] == {"requests_per_minute": 5}
    event = events(database)[-1]
    assert event.action == "key.updated"
    assert set(event.detail) == {"expires_at", "limits"}
    refused = await http.post(path, json={"scopes": ["admin"]}, headers=operator)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "scopes")
    wrong = await http.post(path, json={"limits": {"requests_per_minute": "x"}}, headers=operator)
    assert wrong.status_code == 400
    assert wrong.json()["error"]["param"] == "limits.requests_per_minute"


async def test_a_key_is_replaced_at_once_or_after_a_while(
    http: httpx2.AsyncClient, operator: Headers
) -> None:
    old = await made(http, operator, scopes=["documents", "inference"])
    path = f"/v1/keys/{old['id']}/rotate"
    second = (await http.post(path, json={"grace_s": 600}, headers=operator)).json()
    assert second["scopes"] == old["scopes"]
    assert await status_of(http, old["key"]) == await status_of(http, second["key"]) == 200
    told = (await http.get(f"/v1/keys/{old['id']}", headers=operator)).json()
    assert told["expires_at"] == pytest.approx(time.time() + 600, abs=5)
    path = f"/v1/keys/{second['id']}/rotate"
    third = (await http.post(path, json={}, headers=operator)).json()
    assert await status_of(http, second["key"]) == 401
    assert await status_of(http, third["key"]) == 200


@pytest.mark.parametrize("scope", ["inference", "documents", "training"])
async def test_only_admins_make_keys_so_nobody_gives_what_he_has_not(
    http: httpx2.AsyncClient, database: Database, scope: Any
) -> None:
    headers = bearer(add_key(database, scope)[1])
    answer = await http.post("/v1/keys", json={"name": "x", "scopes": [scope]}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")


async def test_an_admin_of_a_project_manages_its_keys_and_no_others(
    http: httpx2.AsyncClient, database: Database, operator: Headers
) -> None:
    ours, theirs = add_project(database, "ours"), add_project(database, "theirs")
    admin = await made(http, operator, scopes=["admin"], project=ours)
    headers = bearer(admin["key"])
    foreign = [add_key(database, "inference", project=theirs)[0], add_key(database, "admin")[0]]
    mine = await made(http, headers)
    assert mine["project"] == ours
    for key_id in (*foreign, "key_nowhere"):
        path = f"/v1/keys/{key_id}"
        for answer in (
            await http.get(path, headers=headers),
            await http.post(path, json={"name": "x"}, headers=headers),
            await http.post(f"{path}/rotate", json={}, headers=headers),
            await http.delete(path, headers=headers),
        ):
            assert answer.status_code == 404
            said = answer.json()["error"]["message"]
            assert said == f"No such key: {key_id}."
    body = {"name": "x", "scopes": ["inference"], "project": theirs}
    assert (await http.post("/v1/keys", json=body, headers=headers)).status_code == 404
    other = await http.get("/v1/keys", params={"project": theirs}, headers=headers)
    assert other.status_code == 404
    listed = (await http.get("/v1/keys", headers=headers)).json()["data"]
    assert [key["id"] for key in listed] == [mine["id"], admin["id"]]
    seen = await http.get("/v1/keys", params={"project": ours}, headers=operator)
    assert seen.json()["data"] == listed
    assert [event.action for event in events(database, ours)] == ["key.created", "key.created"]


async def test_the_last_key_that_manages_everything_needs_a_clear_word(
    http: httpx2.AsyncClient, database: Database
) -> None:
    first, key = add_key(database, "admin")
    add_key(database, "inference")
    add_key(database, "admin", expires_at=1)
    add_key(database, "admin", project=add_project(database, "a"))
    headers = bearer(key)
    refused = await http.delete(f"/v1/keys/{first}", headers=headers)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "last_admin_key")
    second = await made(http, headers, scopes=["admin"])
    assert (await http.delete(f"/v1/keys/{second['id']}", headers=headers)).status_code == 200
    assert (await http.delete(f"/v1/keys/{first}", headers=headers)).status_code == 409
    path = f"/v1/keys/{first}?force=true"
    assert (await http.delete(path, headers=headers)).status_code == 200
    assert await status_of(http, key) == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"scopes": ["inference"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["root"]}, "scopes.0"),
        ({"name": "x", "scopes": ["admin"], "expires_in": 0}, "expires_in"),
        ({"name": "x", "scopes": ["admin"], "limits": {"a": "b"}}, "limits.a"),
        ({"name": "x", "scopes": ["admin"], "key": "sk-el-mine"}, "key"),
    ],
)
async def test_what_is_wrong_is_named(
    http: httpx2.AsyncClient, operator: Headers, body: dict[str, Any], param: str
) -> None:
    answer = await http.post("/v1/keys", json=body, headers=operator)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_who_changes_keys_stands_in_the_log(
    http: httpx2.AsyncClient, database: Database
) -> None:
    admin, key = add_key(database, "admin")
    headers = bearer(key) | {"x-request-id": "req-of-mine"}
    made_key = await made(http, headers)
    await http.delete(f"/v1/keys/{made_key['id']}", headers=headers)
    told = [(e.actor, e.action, e.object_id, e.request_id) for e in events(database)[-2:]]
    assert told == [
        (admin, "key.created", made_key["id"], "req-of-mine"),
        (admin, "key.revoked", made_key["id"], "req-of-mine"),
    ]
    assert made_key["key"] not in str([event.detail for event in events(database)])
