"""`/v1/drift` and `/v1/alerts`."""

import dataclasses
import json
from collections.abc import AsyncIterator

import httpx2
import openai
import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.records import Alert, DriftMonitor, DriftReport, Feedback, LineageEdge
from cluster.sections.learning import AlertSettings, WebhookSettings
from deployments.alerts.delivery import Delivery
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from tests.fixtures.drift import StoredDrift, stored_drift
from tests.fixtures.traffic import ROCKETS


@pytest.fixture
async def drift(database: Database) -> StoredDrift:
    return await stored_drift(database)


@pytest.fixture
async def with_webhook(parts: Services) -> AsyncIterator[httpx2.AsyncClient]:
    alerts = AlertSettings(webhooks=(WebhookSettings(url="http://127.0.0.1:9"),))
    settings = parts.settings.model_copy(update={"alerts": alerts})
    app = create_app(dataclasses.replace(parts, settings=settings))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as client:
        yield client


async def test_a_monitor_is_made_listed_changed_and_deleted(http: httpx2.AsyncClient) -> None:
    body = {"name": "cards", "settings": {"filters": {"alias": "assistant"}}}
    made = await http.post("/v1/drift/monitors", json=body)
    assert made.status_code == 201
    monitor = made.json()
    assert (monitor["object"], monitor["status"]) == ("drift.monitor", "active")
    assert monitor["settings"]["reference"] == {"type": "first_requests", "requests": 2000}
    assert monitor["reference_complete"] is False
    path = f"/v1/drift/monitors/{monitor['id']}"
    assert (await http.get(path)).json() == monitor
    assert [one["id"] for one in (await http.get("/v1/drift/monitors")).json()["data"]] == [
        monitor["id"]
    ]
    changed = await http.post(path, json={"settings": {"persistence": 3}})
    assert changed.json()["settings"]["persistence"] == 3
    assert changed.json()["name"] == "cards"
    assert (await http.post(f"{path}/pause")).json()["status"] == "paused"
    refused = await http.post(f"{path}/run")
    assert refused.json()["error"]["code"] == "monitor_paused"
    assert (await http.post(f"{path}/resume")).json()["status"] == "active"
    assert (await http.post(f"{path}/run")).status_code == 200
    assert (await http.delete(path)).json()["deleted"] is True
    assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("plan", "param"),
    [
        ({"signals": ["colour"]}, "signals"),
        ({"false_alarms": 0}, "false_alarms"),
        ({"reference": {"type": "dates", "begin": 5, "end": 5}}, "reference"),
        ({"schedule": {"every_requests": 50, "min_requests": 60}}, "schedule"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_wrong_settings_are_named(
    http: httpx2.AsyncClient, plan: dict[str, object], param: str
) -> None:
    answer = await http.post("/v1/drift/monitors", json={"settings": plan})
    assert answer.status_code == 400
    assert param in answer.json()["error"]["param"]


@pytest.mark.parametrize("field", ["alias", "model"])
async def test_a_name_that_nobody_answers_to_is_refused(
    http: httpx2.AsyncClient, field: str
) -> None:
    answer = await http.post("/v1/drift/monitors", json={"settings": {"filters": {field: "nope"}}})
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == f"settings.filters.{field}"


async def test_other_settings_begin_anew_and_end_a_look_under_way(
    http: httpx2.AsyncClient, database: Database, drift: StoredDrift
) -> None:
    def state() -> tuple[dict[str, object], int | None]:
        with database.session() as session:
            row = session.get_one(DriftMonitor, drift.monitor)
            return row.state, row.lease_until

    with database.session() as session:
        row = session.get_one(DriftMonitor, drift.monitor)
        row.state, row.lease_until = {"after": "trace_1"}, 2**40
    path = f"/v1/drift/monitors/{drift.monitor}"
    await http.post(path, json={"name": "other"})
    assert state() == ({"after": "trace_1"}, 2**40)
    await http.post(path, json={"settings": {"permutations": 300}})
    assert state() == ({}, None)


async def test_reports_are_listed_read_and_shown_as_a_page(
    http: httpx2.AsyncClient, drift: StoredDrift
) -> None:
    listed = (await http.get(f"/v1/drift/monitors/{drift.monitor}/reports")).json()["data"]
    assert [one["id"] for one in listed] == [drift.report]
    assert "traces" not in listed[0]["topics"][0]
    report = (await http.get(f"/v1/drift/reports/{drift.report}")).json()
    assert report["topics"][0]["moved"] == "rose"
    assert {one["name"] for one in report["signals"]} == {"domain", "mmd", "answer_length"}
    page = await http.get(f"/v1/drift/reports/{drift.report}/page")
    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;cards&lt;/b&gt;" in page.text
    assert "<b>cards" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert report["topics"][0]["examples"][0]["question"] in page.text
    assert "<svg" in page.text
    for path in (f"/v1/drift/reports/{drift.report}x", "/v1/drift/monitors/no/reports"):
        assert (await http.get(path)).status_code == 404


async def test_deleting_a_monitor_takes_its_reports_and_leaves_its_alert(
    http: httpx2.AsyncClient, database: Database, drift: StoredDrift
) -> None:
    await http.delete(f"/v1/drift/monitors/{drift.monitor}")
    with database.session() as session:
        assert list(session.scalars(select(DriftReport))) == []
        assert session.get(Alert, drift.alert) is not None


async def test_a_topic_becomes_an_eval_set_with_its_lineage(
    client: openai.AsyncOpenAI, http: httpx2.AsyncClient, database: Database, drift: StoredDrift
) -> None:
    body = {"topic": 1, "kind": "eval", "filename": "rockets.jsonl"}
    made = (await http.post(f"/v1/drift/reports/{drift.report}/dataset", json=body)).json()
    assert (made["kind"], made["topic"]) == ("eval", 1)
    file = await client.files.retrieve(made["file"]["id"])
    assert (file.purpose, file.filename) == ("evals", "rockets.jsonl")
    content = (await client.files.content(file.id)).text
    rows = [json.loads(line) for line in content.splitlines()]
    assert len(rows) == made["rows"] == made["drafts"] > 5
    assert all(set(row["question"].split()) <= set(ROCKETS) for row in rows)
    assert all(row["draft"] for row in rows)
    with database.session() as session:
        edges = {
            (edge.source, edge.kind)
            for edge in session.scalars(select(LineageEdge).where(LineageEdge.target == file.id))
        }
    assert edges == {(row["metadata"]["trace"], "row") for row in rows} | {(drift.report, "topic")}


async def test_a_topic_becomes_a_training_set_of_what_people_accepted(
    client: openai.AsyncOpenAI, http: httpx2.AsyncClient, database: Database, drift: StoredDrift
) -> None:
    path = f"/v1/drift/reports/{drift.report}/dataset"
    refused = await http.post(path, json={"topic": 1, "kind": "fine-tune"})
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "no_rows"
    report = (await http.get(f"/v1/drift/reports/{drift.report}")).json()
    with database.session() as session:
        session.add(
            Feedback(id="fb_1", trace_id=report["topics"][0]["traces"][0], correction="So.",
                     review="accepted")
        )  # fmt: skip
    made = (await http.post(path, json={"topic": 1, "kind": "fine-tune"})).json()
    assert (made["rows"], made["drafts"]) == (1, 0)
    file = await client.files.retrieve(made["file"]["id"])
    assert file.purpose == "fine-tune"
    assert made["file"]["dataset"]["form"] == "chat"
    row = json.loads((await client.files.content(file.id)).text)
    assert row["messages"][1]["content"] == "So."
    assert row["metadata"]["feedback"] == "fb_1"
    missing = await http.post(path, json={"topic": 99, "kind": "eval"})
    assert missing.json()["error"]["param"] == "topic"


async def test_alerts_are_listed_acknowledged_and_resolved(
    http: httpx2.AsyncClient, drift: StoredDrift
) -> None:
    for query, count in (("", 1), ("?kind=drift&source=monitor_1", 1), ("?status=resolved", 0)):
        assert len((await http.get(f"/v1/alerts{query}")).json()["data"]) == count
    path = f"/v1/alerts/{drift.alert}"
    assert (await http.post(f"{path}/acknowledge")).json()["status"] == "acknowledged"
    assert (await http.post(f"{path}/resolve")).json()["status"] == "resolved"
    again = await http.post(f"{path}/acknowledge")
    assert again.json()["error"]["code"] == "alert_resolved"
    assert (await http.get(path)).json()["status"] == "resolved"
    assert (await http.get("/v1/alerts/none")).status_code == 404


async def test_delivery_can_be_tested_where_there_is_a_webhook(
    http: httpx2.AsyncClient, with_webhook: httpx2.AsyncClient
) -> None:
    refused = await http.post("/v1/alerts/test")
    assert refused.json()["error"]["code"] == "no_webhook"
    made = await with_webhook.post("/v1/alerts/test")
    assert made.status_code == 201
    assert (made.json()["kind"], made.json()["deliveries"]) == ("test", [])


async def test_the_secret_in_a_webhooks_address_is_told_to_nobody(
    http: httpx2.AsyncClient, database: Database, drift: StoredDrift
) -> None:
    url = "https://user:pass@hooks.example:8443/services/T0/secret-path?key=secret-query"
    with database.session() as session:
        alert = session.get_one(Alert, drift.alert)
        alert.deliveries = [Delivery("delivery_1", url, attempts=1).body()]
    for path in (f"/v1/alerts/{drift.alert}", "/v1/alerts"):
        answer = await http.get(path)
        assert "secret" not in answer.text
        assert "pass" not in answer.text
    told = (await http.get(f"/v1/alerts/{drift.alert}")).json()["deliveries"]
    assert [one["url"] for one in told] == ["https://hooks.example:8443"]
