"""`/v1/projects`."""

from typing import Any

import httpx2
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.records import AuditEvent, Project
from tests.fixtures.keys import add_key, add_project, bearer

Headers = dict[str, str]


async def made(http: httpx2.AsyncClient, headers: Headers, name: str) -> dict[str, Any]:
    answer = await http.post("/v1/projects", json={"name": name}, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_an_operator_manages_projects(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    project = await made(http, operator, "support")
    assert (project["object"], project["status"], project["report"]) == ("project", "active", None)
    path = f"/v1/projects/{project['id']}"
    body = {"name": "help", "limits": {"stored_bytes": 10}, "metadata": {"owner": "ann"}}
    changed = (await http.post(path, json=body, headers=operator)).json()
    assert {key: changed[key] for key in body} == body
    assert (await http.get(path, headers=operator)).json() == changed
    listed = (await http.get("/v1/projects", headers=operator)).json()["data"]
    assert {one["id"] for one in listed} == {"proj_default", project["id"]}
    with database.session(read_only=True) as session:
        found = session.scalars(select(AuditEvent.action).order_by(AuditEvent.number)).all()
    assert found == ["key.created", "project.created", "project.updated"]


async def test_a_name_is_there_once(http: httpx2.AsyncClient, operator: Headers) -> None:
    await made(http, operator, "a")
    other = await made(http, operator, "b")
    again = await http.post("/v1/projects", json={"name": "a"}, headers=operator)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "project_exists")
    path = f"/v1/projects/{other['id']}"
    renamed = await http.post(path, json={"name": "a"}, headers=operator)
    assert (renamed.status_code, renamed.json()["error"]["code"]) == (409, "project_exists")


async def test_others_see_their_own_project_only(
    http: httpx2.AsyncClient, database: Database
) -> None:
    ours, theirs = add_project(database, "ours"), add_project(database, "theirs")
    headers = bearer(add_key(database, "admin", project=ours)[1])
    listed = (await http.get("/v1/projects", headers=headers)).json()["data"]
    assert [one["id"] for one in listed] == [ours]
    for project in (theirs, "proj_default", "proj_nowhere"):
        path = f"/v1/projects/{project}"
        for answer in (
            await http.get(path, headers=headers),
            await http.post(path, json={"metadata": {}}, headers=headers),
            await http.post(path, json={"name": "x"}, headers=headers),
            await http.delete(path, headers=headers),
        ):
            assert answer.status_code == 404
            assert answer.json()["error"]["message"] == f"No such project: {project}."


async def test_others_change_no_more_than_their_project_s_metadata(
    http: httpx2.AsyncClient, database: Database
) -> None:
    ours = add_project(database, "ours")
    headers = bearer(add_key(database, "admin", project=ours)[1])
    path = f"/v1/projects/{ours}"
    changed = await http.post(path, json={"metadata": {"a": "b"}}, headers=headers)
    assert changed.json()["metadata"] == {"a": "b"}
    refused = [
        await http.post(path, json={"limits": {}}, headers=headers),
        await http.post(path, json={"name": "x"}, headers=headers),
        await http.delete(path, headers=headers),
        await http.post("/v1/projects", json={"name": "mine"}, headers=headers),
    ]
    assert [answer.status_code for answer in refused] == [403] * 4
    assert {answer.json()["error"]["code"] for answer in refused} == {"operator_only"}


async def test_deleting_a_project_stops_its_keys_at_once(
    http: httpx2.AsyncClient, operator: Headers, database: Database
) -> None:
    project = (await made(http, operator, "support"))["id"]
    key = bearer(add_key(database, "inference", project=project)[1])
    assert (await http.get("/v1/models", headers=key)).status_code == 200
    path = f"/v1/projects/{project}"
    answer = await http.delete(path, headers=operator)
    assert (answer.status_code, answer.json()["status"]) == (200, "deleting")
    assert (await http.get("/v1/models", headers=key)).status_code == 401
    again = await http.delete(path, headers=operator)
    assert (again.status_code, again.json()["status"]) == (200, "deleting")
    body = {"name": "x", "scopes": ["inference"], "project": project}
    late = await http.post("/v1/keys", json=body, headers=operator)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "project_deleted")
    with database.session() as session:
        row = session.get_one(Project, project)
        row.status, row.report = "deleted", {"files": 3}
    assert (await http.get(path, headers=operator)).json()["report"] == {"files": 3}


@pytest.mark.parametrize("status", ["deleting", "deleted"])
async def test_the_name_of_a_deleted_project_is_free_and_leads_to_nothing_of_it(
    http: httpx2.AsyncClient, operator: Headers, database: Database, status: str
) -> None:
    old = (await made(http, operator, "support"))["id"]
    old_key = bearer(add_key(database, "admin", project=old)[1])
    files = {"file": ("notes.txt", b"old")}
    uploaded = await http.post(
        "/v1/files", data={"purpose": "user_data"}, files=files, headers=old_key
    )
    await http.delete(f"/v1/projects/{old}", headers=operator)
    with database.session() as session:
        session.get_one(Project, old).status = status
    new = (await made(http, operator, "support"))["id"]
    new_key = bearer(add_key(database, "admin", project=new)[1])
    assert new != old
    assert (await http.get("/v1/files", headers=old_key)).status_code == 401
    assert (await http.get("/v1/files", headers=new_key)).json()["data"] == []
    file_id = uploaded.json()["id"]
    assert (await http.get(f"/v1/files/{file_id}", headers=new_key)).status_code == 404
    assert (await http.get(f"/v1/projects/{old}", headers=new_key)).status_code == 404
    told = (await http.get("/v1/audit", headers=new_key)).json()["data"]
    assert [event["action"] for event in told] == ["key.created"]
    verified = await http.get("/v1/audit/verify", params={"project": old}, headers=operator)
    assert verified.json()["valid"] is True
    again = await http.post("/v1/projects", json={"name": "support"}, headers=operator)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "project_exists")
    listed = (await http.get("/v1/projects", headers=operator)).json()["data"]
    assert {(one["id"], one["name"], one["status"]) for one in listed} >= {
        (old, "support", status),
        (new, "support", "active"),
    }


async def test_the_default_project_stays(http: httpx2.AsyncClient, operator: Headers) -> None:
    answer = await http.delete("/v1/projects/proj_default", headers=operator)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "default_project")


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 129}, {"name": "x\x00"}])
async def test_a_project_needs_a_name(
    http: httpx2.AsyncClient, operator: Headers, body: dict[str, Any]
) -> None:
    answer = await http.post("/v1/projects", json=body, headers=operator)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "name")
