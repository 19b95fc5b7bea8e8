"""The health checks answer everybody, and tell why only to who has a key."""

import dataclasses

import httpx2

from cluster.errors import VectorDatabaseError
from deployments.gateway.app import create_app
from deployments.gateway.services import Services

_WHY = "Milvus at http://10.0.0.7:19530 does not answer."


async def _milvus() -> None:
    raise VectorDatabaseError(_WHY)


async def test_why_a_part_is_down_is_told_to_who_has_a_key(
    parts: Services, operator: dict[str, str]
) -> None:
    broken = dataclasses.replace(parts, checks={"milvus": _milvus})
    transport = httpx2.ASGITransport(app=create_app(broken))
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        open_ = await http.get("/readyz")
        wrong = await http.get("/readyz", headers={"authorization": "Bearer sk-el-wrong"})
        known = await http.get("/readyz", headers=operator)
    assert (open_.status_code, wrong.status_code, known.status_code) == (503, 503, 503)
    assert open_.json()["parts"]["milvus"] == {"ready": False}
    assert wrong.json()["parts"]["milvus"] == {"ready": False}
    assert _WHY in known.json()["parts"]["milvus"]["reason"]
