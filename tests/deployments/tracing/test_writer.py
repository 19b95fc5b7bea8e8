"""TraceWriter: off the hot path, bounded, never raising."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import LineageEdge, Trace
from cluster.tenancy import acting_in
from deployments.tracing.counts import TraceCounts
from deployments.tracing.draft import TraceDraft
from deployments.tracing.policy import TracePolicy
from deployments.tracing.rows import RowMaker
from deployments.tracing.writer import TraceWriter


def _ids(database: Database) -> set[str]:
    with database.session() as session:
        return set(session.scalars(select(Trace.id)))


def _down() -> Database:
    return Database("postgresql://someone@127.0.0.1:1/everloop", pool_size=1)


async def test_a_flushed_trace_is_in_the_database(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60)
    draft = TraceDraft(route="/v1/responses", question="Why?", timings_ms={"search": 1.5})
    writer.record(draft)
    await writer.flush()
    with database.session() as session:
        row = session.get_one(Trace, draft.id)
    assert (row.question, row.body["timings_ms"]) == ("Why?", {"search": 1.5})
    assert row.duration_ms > 0
    assert writer.written == 1
    await writer.close()


async def test_a_trace_is_written_without_being_asked(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=0.01)
    draft = TraceDraft(route="/v1/responses")
    writer.record(draft)
    assert writer.background is not None
    await asyncio.wait_for(writer.background, timeout=10)
    assert _ids(database) == {draft.id}
    await writer.close()


async def test_closing_writes_what_is_left(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60)
    drafts = [TraceDraft(route="/x") for _ in range(600)]
    for draft in drafts:
        writer.record(draft)
    await writer.close()
    assert _ids(database) == {draft.id for draft in drafts}


async def test_a_full_buffer_drops_and_counts(database: Database) -> None:
    writer = TraceWriter(database, max_buffered=2, flush_interval_s=60)
    for _ in range(5):
        writer.record(TraceDraft(route="/x"))
    assert writer.dropped == 3
    await writer.close()
    assert len(_ids(database)) == 2


async def test_a_database_that_is_down_keeps_traces_until_the_buffer_is_full() -> None:
    writer = TraceWriter(_down(), max_buffered=3, flush_interval_s=60)
    for _ in range(3):
        writer.record(TraceDraft(route="/x"))
    await writer.flush()
    assert (writer.dropped, writer.written) == (0, 0)
    writer.record(TraceDraft(route="/x"))
    assert writer.lost == {"buffer_full": 1}
    await writer.close()
    assert writer.lost == {"buffer_full": 1, "closed": 3}


async def test_what_waits_is_written_when_the_database_is_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the writer itself, in the order of coming, without a second row for what was there."""
    down, run = True, database.run

    async def broken(fn: Any, *, read_only: bool = False) -> Any:
        if down:
            await run(fn, read_only=read_only)  # it was done, and the answer was lost
            raise DatabaseError("gone")
        return await run(fn, read_only=read_only)

    monkeypatch.setattr(database, "run", broken)
    writer = TraceWriter(database, flush_interval_s=0.01)
    drafts = [TraceDraft(route="/x") for _ in range(3)]
    for draft in drafts:
        writer.record(draft)
    await writer.flush()
    assert writer.counts() == TraceCounts(waiting=3)
    down = False
    assert writer.background is not None
    await asyncio.wait_for(writer.background, timeout=10)
    assert _ids(database) == {draft.id for draft in drafts}
    assert writer.counts() == TraceCounts(written=3)
    await writer.close()


async def test_a_database_that_is_down_is_not_told_again_and_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    writer = TraceWriter(_down(), max_buffered=1, flush_interval_s=60)
    for _ in range(5):
        writer.record(TraceDraft(route="/x"))
        await writer.flush()
    await writer.close()
    assert [r.levelname for r in caplog.records if "Traces" in r.message] == ["WARNING"]


async def test_what_is_sampled_out_is_counted_and_not_lost(database: Database) -> None:
    policy = TracePolicy(sample_rate=0.0)
    writer = TraceWriter(database, flush_interval_s=60, policy=policy)
    kept = TraceDraft(route="/x", status=500)
    for draft in (TraceDraft(route="/x"), kept):
        writer.record(draft)
    await writer.close()
    assert _ids(database) == {kept.id}
    assert writer.counts() == TraceCounts(written=1, sampled_out=1)


async def test_what_a_database_refuses_is_cleaned(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60)
    body = {"passages": [{"text": "\x00"}], "input": {"half": "\ud800", "none": float("nan")}}
    draft = TraceDraft(route="/x", answer="nul\x00", body=body)
    writer.record(draft)
    await writer.close()
    assert _ids(database) == {draft.id}


async def test_one_bad_trace_does_not_take_the_others_with_it(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60)
    good = TraceDraft(route="/x")
    writer.record(TraceDraft(route="/x", body={"broken": object()}))
    writer.record(good)
    await writer.close()
    assert _ids(database) == {good.id}
    assert writer.dropped == 1


async def test_texts_are_left_out_where_they_are_not_to_be_stored(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60, rows=RowMaker(store_text=False))
    draft = TraceDraft(
        route="/x",
        question="secret",
        answer="secret",
        body={
            "messages": [{"role": "user", "content": "secret"}],
            "passages": [{"text": "secret"}],
            "query": "secret",
            "input": {
                "messages": [{"role": "user", "content": "secret"}],
                "options": {"temperature": 0.5, "stop": ["secret"], "stream": True},
            },
            "error": {"message": "secret is no model", "code": "model_not_found"},
            "tokens": {"prompt": 3},
        },
    )
    writer.record(draft)
    await writer.close()
    with database.session() as session:
        row = session.get_one(Trace, draft.id)
    assert (row.question, row.answer) == (None, None)
    assert row.body == {
        "input": {"options": {"temperature": 0.5, "stream": True}},
        "error": {"code": "model_not_found"},
        "tokens": {"prompt": 3},
        "timings_ms": {},
    }
    assert row.error_code == "model_not_found"


async def test_a_batch_of_several_projects_keeps_them_apart(database: Database) -> None:
    """Whichever request wakes the writer, its project is not that of the others' edges."""
    writer = TraceWriter(database, flush_interval_s=0.01)
    for name in ("a", "b"):
        with acting_in(f"proj_{name}"):
            place = {"id": f"psg_{name}", "file_id": "file-1", "vector_store_id": f"vs_{name}"}
            writer.record(TraceDraft(id=f"trace_{name}", body={"passages": [place]}))
    await writer.close()
    with database.session() as session:
        edges = session.execute(select(LineageEdge.source, LineageEdge.project_id)).all()
        traces = session.execute(select(Trace.id, Trace.project_id)).all()
    assert set(map(tuple, traces)) == {("trace_a", "proj_a"), ("trace_b", "proj_b")}
    assert set(map(tuple, edges)) == {
        (source, f"proj_{name}")
        for name in ("a", "b")
        for source in (f"vs_{name}/file-1", f"psg_{name}")
    }
