"""Jobs and gate runs as rows, and what can be read of them."""

from typing import Any

from sqlalchemy import select

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import FineTuningEvent, FineTuningJob, GateRun
from training.queue.ledger import Queue, Work

__all__ = ["add_gate", "add_job", "claimed", "gate_of", "job_of", "messages", "work_of"]


def add_job(database: Database, **columns: Any) -> str:
    """Queue a job; returns its id."""
    job_id = new_id("ftjob")
    with database.session() as session:
        session.add(
            FineTuningJob(
                id=job_id, **{"model": "tiny", "training_file": "file-1", "settings": {}, **columns}
            )
        )
    return job_id


def add_gate(database: Database, **columns: Any) -> str:
    """Queue a gate run; returns its id."""
    gate_id = new_id("gate")
    with database.session() as session:
        session.add(
            GateRun(
                id=gate_id,
                **{
                    "alias": "assistant",
                    "adapter_id": "ft:tiny:1",
                    "evaluation_file": "file-1",
                    **columns,
                },
            )
        )
    return gate_id


def work_of(database: Database, work_id: str) -> Work:
    """The row as open work."""
    return next(work for work in Queue(database).open_work() if work.id == work_id)


def claimed(database: Database, work_id: str) -> Work:
    """The row, taken for one more attempt."""
    work = Queue(database).claim(work_of(database, work_id))
    assert work is not None
    return work


def job_of(database: Database, job_id: str) -> FineTuningJob:
    """The job's row."""
    with database.session(read_only=True) as session:
        return session.get_one(FineTuningJob, job_id)


def gate_of(database: Database, gate_id: str) -> GateRun:
    """The gate run's row."""
    with database.session(read_only=True) as session:
        return session.get_one(GateRun, gate_id)


def messages(database: Database, job_id: str, kind: str = "message") -> list[str]:
    """What the job told, oldest first."""
    with database.session(read_only=True) as session:
        return list(
            session.scalars(
                select(FineTuningEvent.message)
                .where(FineTuningEvent.job_id == job_id, FineTuningEvent.type == kind)
                .order_by(FineTuningEvent.id)
            )
        )
