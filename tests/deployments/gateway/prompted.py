"""The gateway with the real answerer over a scripted model, for tests of prompts."""

from dataclasses import replace
from typing import Any

from sqlalchemy import select

from cluster.database import Database
from cluster.records import Trace
from deployments.gateway.services import Services
from tests.deployments.grounding.conftest import MODEL, Stage
from tests.fakes.chat import ScriptedModel

__all__ = ["MODEL", "last_trace", "over_stage", "told"]


def over_stage(parts: Services, stage: Stage) -> Services:
    """`parts` with the stage's model, retriever and answerer."""
    return replace(
        parts,
        models={MODEL: stage.model},
        retriever=stage.retriever,
        answerer=stage.answerer(),
    )


def told(model: ScriptedModel, call: int = -1) -> list[tuple[str, Any]]:
    """What the model was told, as role and content."""
    return [(m["role"], m["content"]) for m in model.calls[call].body["messages"]]


async def last_trace(parts: Services, database: Database) -> Trace:
    """The newest trace."""
    await parts.traces.flush()
    newest = select(Trace).order_by(Trace.id.desc()).limit(1)
    return await database.run(lambda session: session.scalars(newest).one(), read_only=True)
