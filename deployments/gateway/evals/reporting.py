"""Reports of runs and comparisons: made by the Evaluator when first asked for, then kept."""

import asyncio
from typing import Any

from sqlalchemy import update
from sqlalchemy.orm import Session

from cluster.records import EvalRun
from cluster.tenancy import acting_project
from deployments.errors import Conflict
from deployments.gateway.evals.finding import find_run
from deployments.gateway.services import Services

__all__ = ["ended_run", "keep_page", "run_page", "run_report"]


async def run_report(parts: Services, eval_id: str, run_id: str) -> dict[str, Any]:
    """A run's report. Raises NotFound, and Conflict for a run that has none."""
    run = await _with_report(parts, eval_id, run_id)
    return run.report or {}


async def run_page(parts: Services, eval_id: str, run_id: str) -> str:
    """The same as HTML."""
    run = await _with_report(parts, eval_id, run_id)
    return (await asyncio.to_thread(parts.storage.read, run.page_key or "")).decode()


async def ended_run(
    parts: Services,
    run_id: str,
    param: str,
    eval_id: str | None = None,
    *,
    statuses: tuple[str, ...] = ("completed",),
) -> EvalRun:
    """A run that has come to its end. Raises NotFound and Conflict."""
    run = await parts.database.run(
        lambda session: find_run(session, run_id, eval_id, param=param), read_only=True
    )
    if run.status not in statuses:
        raise Conflict(
            f"The run {run_id} is {run.status}; this is made of runs that are "
            f"{' or '.join(statuses)}.",
            param=param,
            code="no_report",
        )
    return run


async def keep_page(parts: Services, name: str, page: str) -> str:
    """Store a page; returns its key."""
    key = f"{acting_project()}/reports/{name}.html"
    await asyncio.to_thread(parts.storage.put, key, [page.encode()])
    return key


async def _with_report(parts: Services, eval_id: str, run_id: str) -> EvalRun:
    run = await ended_run(parts, run_id, "run_id", eval_id, statuses=("completed", "failed"))
    if run.page_key is not None:
        return run
    made = await parts.evaluator.report(run_id)
    key = await keep_page(parts, run_id, made.page)

    def keep(session: Session) -> None:
        session.execute(
            update(EvalRun).where(EvalRun.id == run_id).values(report=made.report, page_key=key)
        )

    await parts.database.run(keep)
    run.report, run.page_key = made.report, key
    return run
