"""Monitors in the records: looks, alerts, leases and failures."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import func, select

from cluster.database import Database
from cluster.records import Alert, DriftMonitor, DriftReport, QuestionVector, now
from cluster.settings import Settings
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from deployments.drift.duty import DriftDuty
from deployments.drift.plan import MonitorPlan
from deployments.errors import Unavailable
from deployments.monitor.duty import MonitorParts
from tests.fakes.parts import FakeEmbedder
from tests.fixtures.traffic import CARDS, ROCKETS, add_traces, questions

PLAN: dict[str, Any] = {
    "reference": {"type": "first_requests", "requests": 200},
    "schedule": {"every_requests": 50},
    "signals": ["domain", "mmd", "answer_length"],
}


class Watched:
    """A monitor and what it is made of."""

    def __init__(self, database: Database, folder: Path, plan: dict[str, Any]) -> None:
        self.database = database
        self.embedder = FakeEmbedder()
        self.parts = MonitorParts(
            settings=Settings(data_dir=folder),
            database=database,
            storage=ByteStore(f"file://{folder}/bytes"),
            embedder=self.embedder,
            evaluator=cast(Any, None),
            trainer=cast(Any, None),
            ingestor=cast(Any, None),
            models={},
        )
        self.duty = DriftDuty(self.parts)
        settings = MonitorPlan.model_validate(plan).model_dump(mode="json")
        with database.session() as session:
            session.add(DriftMonitor(id="monitor_1", name="cards", settings=settings))

    async def after(self, asked: list[str], **more: Any) -> DriftMonitor:
        """The monitor after requests and a turn."""
        add_traces(self.database, asked, **more)
        return await self.turned()

    async def turned(self) -> DriftMonitor:
        with self.database.session() as session:
            session.get_one(DriftMonitor, "monitor_1").next_at = 0
        await self.duty.turn()
        return self.record()

    def record(self) -> DriftMonitor:
        with self.database.session() as session:
            return session.get_one(DriftMonitor, "monitor_1")

    def reports(self) -> list[DriftReport]:
        with self.database.session() as session:
            return list(session.scalars(select(DriftReport).order_by(DriftReport.id)))

    def alerts(self) -> list[Alert]:
        with self.database.session() as session:
            return list(session.scalars(select(Alert)))


@pytest.fixture
def watched(database: Database, tmp_path: Path) -> Watched:
    return Watched(database, tmp_path, PLAN)


async def test_drift_that_persists_raises_one_alert_that_names_the_topic_and_ends_by_itself(
    watched: Watched,
) -> None:
    await watched.after(questions(CARDS, 200))
    assert watched.reports() == []
    for seed in (1, 2, 3):
        await watched.after(questions(CARDS, 30, seed) + questions(ROCKETS, 20, seed))
    first, second, third = watched.reports()
    assert (first.drifted, first.alert_id) == (True, None)
    (alert,) = watched.alerts()
    assert second.alert_id == third.alert_id == alert.id
    assert (alert.kind, alert.source_id, alert.status) == ("drift", "monitor_1", "open")
    moved = alert.body["topics"][0]
    assert moved["moved"] == "rose"
    assert set(moved["keywords"]) <= set(ROCKETS)
    assert alert.body["report"] == third.id
    assert third.body["current"]["requests"] == 50
    # Topics are told of the whole streak.
    assert sum(topic["current_requests"] for topic in third.body["topics"]) == 150
    for seed in (4, 5):
        await watched.after(questions(CARDS, 50, seed))
    assert watched.alerts()[0].status == "resolved"
    assert watched.record().state["persistence"]["alarmed"] == []


async def test_windows_do_not_overlap_and_a_backlog_is_cut(watched: Watched) -> None:
    await watched.after(questions(CARDS, 330))
    reports = watched.reports()
    assert [report.body["current"]["requests"] for report in reports] == [50, 50]
    before = reports[0].body["reference"]["last_trace"]
    for report in reports:
        assert before < report.body["current"]["first_trace"]
        before = report.body["current"]["last_trace"]
    assert watched.record().state["after"] == before


async def test_background_shadow_and_other_requests_are_left_out(
    database: Database, tmp_path: Path
) -> None:
    filters = {"alias": "assistant", "vector_store": "vs_1"}
    watched = Watched(database, tmp_path, {**PLAN, "filters": filters})
    ours: dict[str, Any] = {"alias": "assistant", "body": {"vector_store_ids": ["vs_0", "vs_1"]}}
    add_traces(database, questions(CARDS, 150), **ours)
    others: tuple[dict[str, Any], ...] = (
        {"alias": "other"},
        {"shadow_of": "trace_1"},
        {"body": {**ours["body"], "background": True}},
        {"body": {"vector_store_ids": ["vs_10"]}},
        {"body": {}},
    )
    for other in others:
        add_traces(database, questions(CARDS, 60), **{**ours, **other})
    await watched.turned()
    assert watched.record().state["reference_until"] is None
    add_traces(database, questions(CARDS, 100, 1), **ours)
    await watched.turned()
    assert [report.body["current"]["requests"] for report in watched.reports()] == [50]


async def test_a_look_that_fails_is_recorded_and_made_later(watched: Watched) -> None:
    watched.embedder.failure = Unavailable("The embedder is down.")
    record = await watched.after(questions(CARDS, 250))
    assert record.error is not None
    assert "embedder is down" in record.error["message"]
    assert record.next_at > now()
    assert record.lease_until is None
    watched.embedder.failure = None
    record = await watched.turned()
    assert record.error is None
    assert len(watched.reports()) == 1


async def test_a_wish_that_cannot_be_met_says_why(watched: Watched) -> None:
    with watched.database.session() as session:
        session.get_one(DriftMonitor, "monitor_1").state = {"wanted": True}
    record = await watched.after(questions(CARDS, 20))
    assert record.error is not None
    assert "wants 200 requests" in record.error["message"]
    assert record.state["wanted"] is False


async def test_a_wish_makes_a_look_of_fewer_requests(database: Database, tmp_path: Path) -> None:
    schedule = {"every_requests": 100, "min_requests": 30}
    watched = Watched(database, tmp_path, {**PLAN, "schedule": schedule})
    record = await watched.after(questions(CARDS, 240))
    assert watched.reports() == []
    with database.session() as session:
        session.get_one(DriftMonitor, "monitor_1").state = {**record.state, "wanted": True}
    await watched.turned()
    assert [report.body["current"]["requests"] for report in watched.reports()] == [40]


async def test_two_monitors_make_each_look_once(watched: Watched) -> None:
    add_traces(watched.database, questions(CARDS, 350))
    others = [DriftDuty(watched.parts) for _ in range(3)]
    await asyncio.gather(*(duty.turn() for duty in others))
    firsts = [report.body["current"]["first_trace"] for report in watched.reports()]
    assert len(firsts) == len(set(firsts)) == 3


async def test_a_lapsed_lease_is_taken_over_and_a_paused_monitor_is_not_looked_at(
    watched: Watched,
) -> None:
    add_traces(watched.database, questions(CARDS, 250))

    def change(**values: Any) -> None:
        with watched.database.session() as session:
            row = session.get_one(DriftMonitor, "monitor_1")
            for name, value in values.items():
                setattr(row, name, value)

    change(lease_until=now() + 60)
    await watched.turned()
    change(lease_until=None, status="paused")
    await watched.turned()
    assert watched.reports() == []
    change(lease_until=now() - 1, status="active")
    await watched.turned()
    assert len(watched.reports()) == 1


async def test_vectors_are_kept_and_bounded(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.after(questions(CARDS, 250))

    def kept() -> int:
        with watched.database.session() as session:
            return int(session.scalar(select(func.count()).select_from(QuestionVector)) or 0)

    assert kept() == 250
    monkeypatch.setattr("deployments.drift.vectors._KEPT", 100)
    with watched.database.session() as session:
        for place, row in enumerate(session.scalars(select(QuestionVector))):
            row.created_at = place
    await watched.duty._vectors.prune()
    assert kept() == 100


async def test_old_reports_go_unless_they_raised_an_alert(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.drift.duty._KEPT_REPORTS", 2)
    await watched.after(questions(CARDS, 300))
    first, second = watched.reports()
    with watched.database.session() as session:
        session.get_one(DriftReport, first.id).alert_id = "alert_1"
    await watched.after(questions(CARDS, 100, 1))
    kept = [report.id for report in watched.reports()]
    assert first.id in kept
    assert second.id not in kept
    assert len(kept) == 3


async def test_fixed_dates_and_last_days_are_references(database: Database, tmp_path: Path) -> None:
    at = now()
    dates = {"type": "dates", "begin": at - 500, "end": at - 100}
    watched = Watched(database, tmp_path, {**PLAN, "reference": dates})
    add_traces(database, questions(CARDS, 210), created_at=at - 200)
    await watched.after(questions(CARDS, 50, 1), created_at=at - 50)
    (report,) = watched.reports()
    assert report.body["reference"]["requests"] == 210
    with database.session() as session:
        row = session.get_one(DriftMonitor, "monitor_1")
        days = {"type": "last_days", "days": 1}
        row.settings = MonitorPlan.model_validate({**PLAN, "reference": days}).model_dump(
            mode="json"
        )
        row.state = {"after": report.body["current"]["last_trace"]}
    await watched.after(questions(CARDS, 50, 2), created_at=at)
    assert watched.reports()[1].body["reference"]["requests"] == 260


async def test_a_reference_that_is_gone_is_an_error_that_says_so(
    database: Database, tmp_path: Path
) -> None:
    dates = {"type": "dates", "begin": 0, "end": 100}
    watched = Watched(database, tmp_path, {**PLAN, "reference": dates})
    record = await watched.after(questions(CARDS, 50))
    assert record.error is not None
    assert "it needs 200" in record.error["message"]


async def test_each_project_is_watched_by_itself(database: Database, tmp_path: Path) -> None:
    with acting_in("proj_theirs"):
        watched = Watched(database, tmp_path, PLAN)
        add_traces(database, questions(CARDS, 200))
    add_traces(database, questions(ROCKETS, 200))
    await watched.turned()
    assert watched.reports() == [], "requests of another project are none of its own"
    for seed in (1, 2, 3):
        with acting_in("proj_theirs"):
            add_traces(database, questions(CARDS, 30, seed) + questions(ROCKETS, 20, seed))
        await watched.turned()
    (alert,) = watched.alerts()
    assert len(watched.reports()) == 3
    with database.session() as session:
        vectors = set(session.scalars(select(QuestionVector.project_id)))
    made = {alert.project_id, *vectors, *(report.project_id for report in watched.reports())}
    assert made == {"proj_theirs"}
