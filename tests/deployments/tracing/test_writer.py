"""TraceWriter: off the hot path, bounded, never raising."""

import asyncio

from sqlalchemy import select

from cluster.database import Database
from cluster.records import Trace
from deployments.tracing.draft import TraceDraft
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
    assert writer.dropped == 1
    await writer.close()


async def test_what_a_database_refuses_is_cleaned(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60)
    draft = TraceDraft(route="/x", answer="nul\x00", body={"passages": [{"text": "\x00"}]})
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
    writer = TraceWriter(database, flush_interval_s=60, store_text=False)
    draft = TraceDraft(
        route="/x",
        question="secret",
        answer="secret",
        body={
            "messages": [{"role": "user", "content": "secret"}],
            "passages": [{"text": "secret"}],
            "tokens": {"prompt": 3},
        },
    )
    writer.record(draft)
    await writer.close()
    with database.session() as session:
        row = session.get_one(Trace, draft.id)
    assert (row.question, row.answer) == (None, None)
    assert row.body == {"tokens": {"prompt": 3}, "timings_ms": {}}
