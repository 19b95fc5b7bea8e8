"""The health checks answer everybody, and tell why only to operators."""

import dataclasses

import httpx2

from cluster.database import Database
from cluster.errors import VectorDatabaseError
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from tests.fixtures.keys import add_key, add_project, bearer

_WHY = "Milvus at http://10.0.0.7:19530 does not answer."


async def _milvus() -> None:
    raise VectorDatabaseError(_WHY)


async def test_why_a_part_is_down_is_told_to_operators(
    parts: Services, operator: dict[str, str], database: Database
) -> None:
    tenant = bearer(add_key(database, "admin", project=add_project(database, "tenant"))[1])
    asker = bearer(add_key(database, "inference")[1])
    broken = dataclasses.replace(parts, checks={"milvus": _milvus})
    transport = httpx2.ASGITransport(app=create_app(broken))
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        open_ = await http.get("/readyz")
        wrong = await http.get("/readyz", headers={"authorization": "Bearer sk-el-wrong"})
        for headers in (tenant, asker):
            told = await http.get("/readyz", headers=headers)
            assert told.json()["parts"]["milvus"] == {"ready": False}
        known = await http.get("/readyz", headers=operator)
    assert (open_.status_code, wrong.status_code, known.status_code) == (503, 503, 503)
    assert open_.headers["retry-after"] == str(parts.settings.http.retry_after_s)
    assert open_.json()["parts"]["milvus"] == {"ready": False}
    assert wrong.json()["parts"]["milvus"] == {"ready": False}
    assert _WHY in known.json()["parts"]["milvus"]["reason"]


async def test_metrics_of_all_projects_are_the_operators(
    http: httpx2.AsyncClient, operator: dict[str, str], database: Database
) -> None:
    tenant = bearer(add_key(database, "admin", project=add_project(database, "tenant"))[1])
    refused = await http.get("/metrics", headers=tenant)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "operator_only")
    assert (await http.get("/metrics", headers=operator)).status_code == 200
