"""`/healthz`, `/readyz`, `/metrics`, `/docs`, the OpenAPI document."""

import dataclasses
import re
import subprocess
import sys
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from cluster.database import Database
from cluster.errors import VectorDatabaseError
from cluster.settings import AccessSettings, Settings
from deployments.gateway.app import create_app
from deployments.gateway.exposition import merged
from deployments.gateway.services import Services


async def test_healthz_needs_no_other_part(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_readyz_tells_of_each_part(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert {name: part["ready"] for name, part in answer.json()["parts"].items()} == {
        "database": True,
        "storage": True,
    }


async def test_readyz_is_503_with_the_reason_where_a_part_is_down(parts: Services) -> None:
    async def milvus() -> None:
        raise VectorDatabaseError("Milvus at http://127.0.0.1:1 does not answer.")

    broken = dataclasses.replace(
        parts,
        database=Database("postgresql://someone:secret@127.0.0.1:1/everloop"),
        checks={"vectors": milvus},
    )
    transport = httpx2.ASGITransport(app=create_app(broken))
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.get("/readyz")
    assert answer.status_code == 503
    states = answer.json()["parts"]
    assert not states["vectors"]["ready"]
    assert "does not answer" in states["vectors"]["reason"]
    assert not states["database"]["ready"]
    assert "secret" not in answer.text
    assert states["storage"]["ready"]


async def test_metrics_count_requests_by_route(http: httpx2.AsyncClient) -> None:
    await http.get("/v1/files/file-1")
    answer = await http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.text)}
    labels = [sample.labels for sample in families["everloop_gateway_requests"].samples]
    assert {"method": "GET", "route": "/v1/files/{file_id}", "status": "404"} in labels
    assert "everloop_gateway_request_seconds" in families


def test_expositions_of_several_nodes_become_one() -> None:
    node = '# HELP a About a.\n# TYPE a gauge\na{{node="{0}"}} {0}\n'
    joined = merged([node.format(1) + "# TYPE b gauge\nb 1\n", node.format(2)])
    assert joined.count("# TYPE a gauge") == 1
    families = {family.name: family for family in text_string_to_metric_families(joined)}
    assert [sample.value for sample in families["a"].samples] == [1, 2]
    assert [sample.value for sample in families["b"].samples] == [1]


async def test_docs_load_nothing_from_elsewhere(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/docs")).text
    sources = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert sources
    for source in sources:
        assert source.startswith("/"), source
        assert (await http.get(source)).status_code == 200


async def test_the_openapi_document_is_valid_and_describes_every_route(app: FastAPI) -> None:
    document = app.openapi()
    validate(document)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert operation["description"], (method, path)


async def test_request_bodies_have_examples(app: FastAPI) -> None:
    schemas = app.openapi()["components"]["schemas"]
    for name in ("StoreCreate", "FileAttach", "BatchCreate", "Search", "EmbeddingCreate", "Rerank"):
        assert schemas[name]["examples"], name


def test_the_gateway_imports_nothing_heavy() -> None:
    heavy = {"torch", "vllm", "transformers", "pymilvus", "unstructured", "pandas"}
    code = f"import sys, deployments.gateway.app; print(*sys.modules.keys() & {heavy!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:3000"}, 200),
        ({"host": "everloop:8000", "origin": "http://everloop:8000"}, 200),
        ({"host": "127.0.0.1:8000", "origin": "http://127.0.0.1:8000"}, 200),
        ({"host": "127.0.0.1:8000", "origin": "http://[::1]:3000"}, 200),
        ({"host": "rebound.example:8000"}, 403),
        ({"host": "rebound.example.:8000"}, 403),
        ({"host": "127.0.0.1.rebound.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "https://evil.example"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "http://203.0.113.5"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "http://[::ffff:127.0.0.1]:3000"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "http://[::ffff:7f00:1]:3000"}, 403),
        ({"host": "127.0.0.1:8000", "origin": "null"}, 403),
    ],
)
async def test_without_keys_no_page_of_a_browser_gets_in(
    http: httpx2.AsyncClient, headers: dict[str, str], status: int
) -> None:
    """A form may be posted across origins without asking first, a rebound page reads answers."""
    file = {"file": ("a.txt", b"x")}
    form = {"purpose": "user_data"}
    made = await http.post("/v1/files", data=form, files=file, headers=headers)
    listed = await http.get("/v1/files", headers=headers)
    assert (made.status_code, listed.status_code) == (status, status)
    if status == 403:
        assert made.json()["error"]["code"] == "not_local"
        assert (await http.get("/v1/files")).json()["data"] == []


async def test_with_keys_a_server_has_any_name(parts: Services, settings: Settings) -> None:
    named = settings.model_copy(update={"access": AccessSettings(keys="required")})
    app = create_app(Services(**{**vars(parts), "settings": named}))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.get("/v1/files", headers={"host": "everloop.example"})
    assert answer.status_code == 401


_BOUNDS = {"maximum", "exclusiveMaximum", "const", "enum"}


def _unbounded(document: dict[str, Any], schema: Any, where: str, seen: frozenset[str]) -> set[str]:
    """Where `schema` takes integers of any size."""
    if isinstance(schema, list):
        return {one for item in schema for one in _unbounded(document, item, where, seen)}
    if not isinstance(schema, dict):
        return set()
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name in seen:
        return set()
    if name:
        schema, seen = document["components"]["schemas"][name], seen | {name}
    found = set()
    if schema.get("type") == "integer" and not _BOUNDS & schema.keys():
        found.add(where)
    for key in ("anyOf", "oneOf", "allOf", "items", "prefixItems", "additionalProperties"):
        found |= _unbounded(document, schema.get(key), where, seen)
    for key, inner in schema.get("properties", {}).items():
        found |= _unbounded(document, inner, f"{where}.{key}", seen)
    return found


def test_no_integer_is_taken_that_a_database_cannot_hold(app: FastAPI) -> None:
    document = app.openapi()
    found = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            taken = [(one["name"], one["schema"]) for one in operation.get("parameters", [])]
            bodies = operation.get("requestBody", {}).get("content", {}).values()
            for name, schema in [*taken, *(("body", body["schema"]) for body in bodies)]:
                found |= _unbounded(document, schema, f"{method} {path} {name}", frozenset())
    assert found == set()


async def test_a_moment_past_all_calendars_is_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/v1/audit", params={"since": 2**70})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "since"
