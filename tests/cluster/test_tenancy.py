"""A project that acts sees and makes its own records only, whatever the query forgets."""

import pytest
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.records import (
    Alias,
    FileBatch,
    Owned,
    Project,
    StoredFile,
    Trace,
    TraceScore,
    VectorStore,
)
from cluster.tenancy import acting_in, acting_project, restricted_to


def _trace(name: str, **values: object) -> Trace:
    return Trace(id=name, request_id=name, route="/", status=200, **values)


@pytest.fixture
def two(database: Database) -> Database:
    """A trace, a score, a store and an alias of each of two projects."""
    for project in ("proj_a", "proj_b"):
        with acting_in(project), database.session() as session:
            session.add(_trace(f"trace_{project}"))
            session.add(TraceScore(trace_id=f"trace_{project}", name="x", evaluator="t"))
            session.add(VectorStore(id=f"vs_{project}"))
            session.add(Alias(name="assistant", target=project))
    return database


async def test_new_records_are_given_to_the_acting_project(two: Database) -> None:
    owners = await two.run(lambda session: set(session.scalars(select(Trace.project_id))))
    assert owners == {"proj_a", "proj_b"}
    with acting_in("proj_b"):
        owners = await two.run(lambda session: set(session.scalars(select(Trace.project_id))))
    assert owners == {"proj_b"}


def test_without_a_project_new_records_are_the_default_ones(database: Database) -> None:
    assert restricted_to() is None
    assert acting_project() == DEFAULT_PROJECT
    with database.session() as session:
        session.add(_trace("t"))
    with database.session() as session:
        assert session.get_one(Trace, "t").project_id == DEFAULT_PROJECT


def _by_key(session: Session) -> object:
    return session.get(Trace, "trace_proj_b")


def _whole(session: Session) -> object:
    return session.scalars(select(Trace).where(Trace.id == "trace_proj_b")).all()


def _columns(session: Session) -> object:
    return session.execute(select(Trace.id, Trace.route).where(Trace.id == "trace_proj_b")).all()


def _counted(session: Session) -> object:
    query = select(func.count()).select_from(Trace).where(Trace.id == "trace_proj_b")
    return session.scalar(query)


def _joined(session: Session) -> object:
    query = select(TraceScore.name).join(Trace, Trace.id == TraceScore.trace_id)
    return session.scalars(query.where(TraceScore.trace_id == "trace_proj_b")).all()


def _aliased(session: Session) -> object:
    other = aliased(Trace)
    return session.scalars(select(other.id).where(other.id == "trace_proj_b")).all()


def _below(session: Session) -> object:
    inner = select(Trace.id).where(Trace.id == "trace_proj_b").scalar_subquery()
    return session.scalars(select(VectorStore.id).where(inner.is_not(None))).all()


def _exists(session: Session) -> object:
    there = select(Trace.id).where(Trace.id == "trace_proj_b").exists()
    return session.scalars(select(VectorStore.id).where(there)).all()


def _locked(session: Session) -> object:
    return session.scalars(select(Trace).where(Trace.id == "trace_proj_b").with_for_update()).all()


def _united(session: Session) -> object:
    first = select(Trace.id).where(Trace.id == "trace_proj_b")
    second = select(VectorStore.id).where(VectorStore.id == "vs_proj_b")
    return session.execute(first.union_all(second)).all()


@pytest.mark.parametrize(
    "read",
    [_by_key, _whole, _columns, _counted, _joined, _aliased, _below, _exists, _locked, _united],
)
async def test_no_query_sees_another_project(two: Database, read: object) -> None:
    assert callable(read)
    with acting_in("proj_b"):
        assert await two.run(read), "the query finds its own"
    with acting_in("proj_a"):
        assert not await two.run(read)
    assert await two.run(read), "what acts for no project sees all"


def test_no_change_reaches_another_project(two: Database) -> None:
    with acting_in("proj_a"), two.session() as session:
        session.execute(update(Trace).values(route="/changed"))
        session.execute(delete(VectorStore))
    with two.session() as session:
        assert session.get_one(Trace, "trace_proj_a").route == "/changed"
        assert session.get_one(Trace, "trace_proj_b").route == "/"
        assert session.get(VectorStore, "vs_proj_a") is None
        assert session.get(VectorStore, "vs_proj_b") is not None


def test_one_query_serves_each_project_by_itself(two: Database) -> None:
    """SQLAlchemy caches compiled statements: the project must be a parameter of them."""
    for project in ("proj_a", "proj_b", "proj_a"):
        with acting_in(project), two.session() as session:
            assert [row.id for row in session.scalars(select(Trace))] == [f"trace_{project}"]


def test_every_record_but_a_project_belongs_to_one() -> None:
    mappers = Owned.__subclasses__()
    assert StoredFile in mappers
    assert FileBatch in mappers
    from cluster.records import Base

    others = {mapper.class_ for mapper in Base.registry.mappers} - set(mappers)
    assert others == {Project}
