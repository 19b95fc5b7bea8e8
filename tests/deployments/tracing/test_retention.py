"""What goes with time, and what stays."""

from typing import cast

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import (
    Feedback,
    LineageEdge,
    QuestionVector,
    ResponseRecord,
    Trace,
    TraceScore,
    now,
)
from cluster.settings import Settings, TracingSettings
from deployments.monitor.duty import MonitorParts
from deployments.tracing import retention
from deployments.tracing.retention import RetentionDuty

_DAY_S = 86_400


def _trace(session: Session, name: str, days_ago: float) -> None:
    session.add(
        Trace(
            id=name,
            request_id=name,
            route="/x",
            status=200,
            created_at=now() - int(days_ago * _DAY_S),
        )
    )


def _duty(database: Database, settings: TracingSettings) -> RetentionDuty:
    parts = MonitorParts(
        settings=Settings(tracing=settings),
        database=database,
        storage=cast("object", None),  # type: ignore[arg-type]
        embedder=cast("object", None),  # type: ignore[arg-type]
        evaluator=cast("object", None),  # type: ignore[arg-type]
        trainer=cast("object", None),  # type: ignore[arg-type]
        ingestor=cast("object", None),  # type: ignore[arg-type]
        models={},
    )
    return RetentionDuty(parts)


def _ids(database: Database) -> set[str]:
    with database.session() as session:
        return set(session.scalars(select(Trace.id)))


async def test_old_traces_go_with_what_is_theirs_and_others_stay(database: Database) -> None:
    with database.session() as session:
        _trace(session, "old", 11)
        _trace(session, "young", 9)
        for trace in ("old", "young"):
            session.add(TraceScore(trace_id=trace, name="groundedness", evaluator="facts"))
            session.add(QuestionVector(trace_id=trace, model="m", vector=b""))
            session.add(LineageEdge(source="vs_1/file-1", target=trace, kind="cited"))
            session.add(ResponseRecord(id=f"resp_{trace}", trace_id=trace, body={}, messages=[]))
    await _duty(database, TracingSettings(retention_days=10)).turn()
    with database.session() as session:
        assert set(session.scalars(select(Trace.id))) == {"young"}
        assert set(session.scalars(select(TraceScore.trace_id))) == {"young"}
        assert set(session.scalars(select(QuestionVector.trace_id))) == {"young"}
        assert set(session.scalars(select(LineageEdge.target))) == {"young"}
        assert len(session.scalars(select(ResponseRecord.id)).all()) == 2


async def test_traces_with_feedback_or_training_rows_have_a_time_of_their_own(
    database: Database,
) -> None:
    with database.session() as session:
        for name in ("plain", "said", "taught"):
            _trace(session, name, 20)
        session.add(Feedback(id="feedback_1", trace_id="said", thumbs="up"))
        session.add(LineageEdge(source="taught", target="file-2", kind="row"))
    settings = TracingSettings(retention_days=10)
    await _duty(database, settings).turn()
    assert _ids(database) == {"said", "taught"}
    settings = TracingSettings(retention_days=10, feedback_retention_days=15)
    await _duty(database, settings).turn()
    with database.session() as session:
        assert set(session.scalars(select(Trace.id))) == set()
        assert session.scalars(select(Feedback.id)).all() == []
        assert session.scalars(select(LineageEdge.source)).all() == ["taught"]


async def test_nothing_goes_where_no_time_is_set(database: Database) -> None:
    with database.session() as session:
        _trace(session, "old", 5000)
    await _duty(database, TracingSettings(retention_days=None)).turn()
    assert _ids(database) == {"old"}


async def test_many_go_in_batches(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 3)
    monkeypatch.setattr(retention, "_BATCHES", 2)
    with database.session() as session:
        for number in range(8):
            _trace(session, f"old{number}", 20 - number)
    duty = _duty(database, TracingSettings(retention_days=5))
    with caplog.at_level("INFO", logger=retention.__name__):
        await duty.turn()
    assert _ids(database) == {"old6", "old7"}, "the oldest first, and no more than a turn's share"
    assert "Deleted 6 traces" in caplog.text
    await duty.turn()
    assert _ids(database) == set()
