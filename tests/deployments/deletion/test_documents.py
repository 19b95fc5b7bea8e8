"""What quotes a document that was taken out is blotted out, and nothing else is."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import (
    EvalItem,
    IdempotencyKey,
    LineageEdge,
    ResponseRecord,
    Trace,
    VectorStoreFile,
    now,
)
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from deployments.deletion.documents import DocumentDuty, take_out
from deployments.deletion.quotes import MARK, without_document
from deployments.lineage.edges import Edge, add_edges
from deployments.monitor.duty import MonitorParts
from tests.fixtures.tenant import Tenant, add_everything, add_project

WORD = "8d1f03a6c2e74b95"
OTHER = "5b90e4d7a1c8f362"


def everything(database: Database, storage: ByteStore, name: str, word: str) -> Tenant:
    tenant = add_project(database, name, word)
    add_everything(database, storage, tenant)
    return tenant


def add_late(session: Session) -> None:
    """A request that had read the document, and is written after it was taken out."""
    passage = {"id": f"psg_{WORD}", "text": f"the secret {WORD}", "file_id": f"file-{WORD}"}
    body = {"passages": [passage]}
    session.add(Trace(id="late", request_id="late", route="/", status=200, body=body))
    add_edges(session, [Edge(f"psg_{WORD}", "late", "used")])


def said(database: Database, tenant: Tenant) -> list[list[Any]]:
    """What traces, responses and evaluated answers of a project hold."""
    with acting_in(tenant.project_id), database.session(read_only=True) as session:
        return [
            [trace.body for trace in session.scalars(select(Trace).order_by(Trace.id))],
            [row.body for row in session.scalars(select(ResponseRecord))],
            [item.sample["passages"] for item in session.scalars(select(EvalItem)) if item.sample],
            list(session.scalars(select(IdempotencyKey.answer))),
        ]


async def test_quotes_of_a_document_go_and_ids_stay(
    database: Database, storage: ByteStore, make_parts: Callable[[float], MonitorParts]
) -> None:
    theirs = everything(database, storage, "theirs", WORD)
    others = everything(database, storage, "others", OTHER)
    before = said(database, others)
    secret = f"the secret {WORD}"
    with acting_in(theirs.project_id), database.session() as session:
        trace = session.get_one(Trace, f"trace_{WORD}")
        prompt = [{"role": "system", "content": f"Answer from: {secret}. Be brief."}]
        trace.body = {**trace.body, "messages": prompt}
        found = trace.body["passages"][0]
        kept = {"output": [{"results": [found]}, {"text": f"It says: {secret}!"}]}
        session.scalars(select(IdempotencyKey)).one().answer = json.dumps(kept)
    told: list[object] = []
    duty = DocumentDuty(make_parts(1.0), lambda kind, ids: told.append((kind, list(ids))))
    await duty.turn()
    assert secret in str(said(database, theirs)), "nothing was taken out yet"
    with acting_in(theirs.project_id), database.session() as session:
        session.execute(update(VectorStoreFile).values(live=False, deleted_at=now()))
        take_out(session, VectorStoreFile.file_id == f"file-{WORD}")
    await duty.turn()
    with acting_in(theirs.project_id), database.session() as session:
        assert session.scalars(select(VectorStoreFile.forget_at)).one(), "requests may still end"
        add_late(session)
    async with asyncio.timeout(10):
        while secret in str(said(database, theirs)):
            await duty.turn()
            await asyncio.sleep(0.05)
    [traces, responses, items, [kept_answer]] = said(database, theirs)
    assert secret not in str([traces, responses, items, kept_answer])
    assert json.loads(kept_answer)["output"][1] == {"text": f"It says: {MARK}!"}
    body = traces[-1]
    assert body["messages"][0]["content"] == f"Answer from: {MARK}. Be brief."
    assert body["passages"] == [
        {
            "id": f"psg_{WORD}",
            "text": MARK,
            "file_id": f"file-{WORD}",
            "filename": MARK,
            "vector_store_id": f"vs_{WORD}",
        }
    ]
    with acting_in(theirs.project_id), database.session(read_only=True) as session:
        number = session.scalars(select(VectorStoreFile.number)).one()
    assert told == [("document", [str(number)])] * 2
    assert said(database, others) == before
    with acting_in(theirs.project_id), database.session(read_only=True) as session:
        assert session.scalars(select(VectorStoreFile.forget_at)).all() == [None]
        assert len(session.scalars(select(LineageEdge)).all()) == 4


async def test_more_traces_than_one_transaction_takes(
    database: Database, storage: ByteStore, make_parts: Callable[[float], MonitorParts]
) -> None:
    tenant = everything(database, storage, "many", WORD)
    passage = {"id": f"psg_{WORD}", "text": "x" * 40, "file_id": f"file-{WORD}"}

    def add(session: Session) -> None:
        for number in range(250):
            name = f"trace_{number:04d}"
            session.add(
                Trace(
                    id=name,
                    request_id=name,
                    route="/",
                    status=200,
                    body={"left_out": [passage | {"vector_store_id": f"vs_{WORD}"}]},
                )
            )
        names = (f"trace_{number:04d}" for number in range(250))
        add_edges(session, [Edge(f"psg_{WORD}", name, "found") for name in names])
        session.execute(update(VectorStoreFile).values(forget_at=1))

    with acting_in(tenant.project_id):
        await database.run(add)
    await DocumentDuty(make_parts(1.0)).turn()
    assert "xxxx" not in str(said(database, tenant))


def test_the_same_file_in_another_store_keeps_its_quotes() -> None:
    passages = [
        {"file_id": "file-1", "vector_store_id": store, "text": f"of {store}, and long enough"}
        for store in ("vs_1", "vs_2")
    ]
    cleared, texts = without_document({"passages": passages}, "file-1", "vs_1")
    assert [passage["text"] for passage in cleared["passages"]] == [MARK, passages[1]["text"]]
    assert texts == [passages[0]["text"]]


def test_short_texts_are_cleared_in_place_only() -> None:
    value = {"quote": "Paris", "file_id": "file-1", "said": 1}
    cleared, _ = without_document([value, "Paris is a city"], "file-1", "vs_1")
    assert cleared == [{"quote": MARK, "file_id": "file-1", "said": 1}, "Paris is a city"]
