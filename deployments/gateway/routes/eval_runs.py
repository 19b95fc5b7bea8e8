"""`/v1/evals/{eval_id}/runs`: the rows are the work. The Evaluator does it from the database."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.ids import new_id
from cluster.records import EvalItem, EvalRun, now
from deployments.errors import InvalidRequest
from deployments.gateway.evals.bodies import RunCreate
from deployments.gateway.evals.finding import find_eval, find_item, find_run, outcomes_of
from deployments.gateway.evals.objects import OutputItemObject, RunObject
from deployments.gateway.evals.planning import (
    add_items,
    asked_model,
    check_source,
    kept_source,
    run_rows,
)
from deployments.gateway.evals.reporting import run_page, run_report
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.report_pages import ReportPage
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/evals/{eval_id}/runs", tags=["Evals"])
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]
Order = Annotated[Literal["asc", "desc"], Query(description="By creation.")]
_OPEN: Final = ("queued", "in_progress")
_OUTCOMES: Final = {"pass": "pass", "fail": "fail", "failed": "fail", "error": "error"}


class RunDeleted(BaseModel):
    """Answers that the run and its items are gone."""

    object: Literal["eval.run.deleted"] = "eval.run.deleted"
    deleted: bool = True
    run_id: str


@router.post("", summary="Create a run", status_code=201)
async def create_run(eval_id: str, body: RunCreate, parts: Parts) -> RunObject:
    """Read the data to its end and queue its items. A problem of the data is told by line."""
    config = await parts.database.run(
        lambda session: find_eval(session, eval_id).data_source_config, read_only=True
    )
    await check_source(parts, body.data_source, config)
    rows = await run_rows(parts, body.data_source, config)
    model = asked_model(body.data_source)

    def make(session: Session) -> RunObject:
        find_eval(session, eval_id, lock=True)  # not deleted meanwhile
        row = EvalRun(
            id=new_id("evalrun"),
            eval_id=eval_id,
            name=body.name or "",
            status="queued",
            model=model,
            data_source=kept_source(body.data_source),
            items=len(rows),
            meta=body.metadata or {},
            created_at=now(),
        )
        session.add(row)
        session.flush()
        add_items(session, row.id, rows)
        return RunObject.of(row, {}, parts.settings.base_url)

    made = await parts.database.run(make)
    await parts.wake_evaluator()
    return made


@router.get("", summary="List runs")
async def list_runs(
    eval_id: str,
    parts: Parts,
    page: PageOf,
    order: Order = "asc",
    status: Annotated[
        Literal["queued", "in_progress", "completed", "canceled", "failed"] | None, Query()
    ] = None,
) -> Page[RunObject]:
    """List the runs of an eval, oldest first, as OpenAI does."""
    wanted = page.model_copy(update={"order": order})

    def read(session: Session) -> Page[RunObject]:
        find_eval(session, eval_id)
        query = select(EvalRun).where(EvalRun.eval_id == eval_id)
        if status is not None:
            query = query.where(EvalRun.status == status)
        rows, has_more = take_page(session, query, EvalRun.id, wanted)
        counts = outcomes_of(session, [row.id for row in rows])
        base_url = parts.settings.base_url
        found = [RunObject.of(row, counts[row.id], base_url) for row in rows]
        return Page[RunObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{run_id}", summary="Retrieve a run")
async def retrieve_run(eval_id: str, run_id: str, parts: Parts) -> RunObject:
    """Describe a run; its counts grow while it is in progress."""

    def read(session: Session) -> RunObject:
        return _described(session, find_run(session, run_id, eval_id), parts)

    return await parts.database.run(read, read_only=True)


@router.post("/{run_id}/cancel", summary="Cancel a run")
async def cancel_run(eval_id: str, run_id: str, parts: Parts) -> RunObject:
    """End a run now. What is scored stays; items under way are dropped within a second or two."""

    def cancel(session: Session) -> RunObject:
        row = find_run(session, run_id, eval_id, lock=True)
        if row.status not in _OPEN:
            raise InvalidRequest(
                f"The run {run_id} has ended: it is {row.status}.", code="run_ended"
            )
        row.status, row.finished_at = "canceled", now()
        return _described(session, row, parts)

    ended = await parts.database.run(cancel)
    await parts.wake_evaluator()
    return ended


@router.delete("/{run_id}", summary="Delete a run")
async def delete_run(eval_id: str, run_id: str, parts: Parts) -> RunDeleted:
    """Delete a run with its items; what is under way stops."""

    def remove(session: Session) -> None:
        find_run(session, run_id, eval_id, lock=True)
        session.execute(delete(EvalItem).where(EvalItem.run_id == run_id))
        session.execute(delete(EvalRun).where(EvalRun.id == run_id))
        record(session, "eval.run_deleted", run_id, eval=eval_id)

    await parts.database.run(remove)
    return RunDeleted(run_id=run_id)


@router.get("/{run_id}/output_items", summary="List output items")
async def list_output_items(
    eval_id: str,
    run_id: str,
    parts: Parts,
    page: PageOf,
    order: Order = "asc",
    status: Annotated[
        Literal["pass", "fail", "failed", "error"] | None,
        Query(description="Only items that came out so; `error` is ours."),
    ] = None,
) -> Page[OutputItemObject]:
    """List the items that are scored, in the order of the data."""
    wanted = page.model_copy(update={"order": order})

    def read(session: Session) -> Page[OutputItemObject]:
        run = find_run(session, run_id, eval_id)
        query = select(EvalItem).where(EvalItem.run_id == run_id, EvalItem.status == "done")
        if status is not None:
            query = query.where(EvalItem.outcome == _OUTCOMES[status])
        rows, has_more = take_page(session, query, EvalItem.id, wanted)
        found = [OutputItemObject.of(row, run) for row in rows]
        return Page[OutputItemObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{run_id}/output_items/{item_id}", summary="Retrieve an output item")
async def retrieve_output_item(
    eval_id: str, run_id: str, item_id: str, parts: Parts
) -> OutputItemObject:
    """Describe a scored item: its answer, and what each grader said of it."""

    def read(session: Session) -> OutputItemObject:
        run = find_run(session, run_id, eval_id)
        return OutputItemObject.of(find_item(session, run_id, item_id), run)

    return await parts.database.run(read, read_only=True)


@router.get("/{run_id}/report", summary="Read a run's report as JSON")
async def read_report(eval_id: str, run_id: str, parts: Parts) -> dict[str, Any]:
    """The whole report of a run that has ended."""
    return await run_report(parts, eval_id, run_id)


@router.get("/{run_id}/page", summary="Read a run's report", response_class=ReportPage)
async def read_page(eval_id: str, run_id: str, parts: Parts) -> ReportPage:
    """The report as one readable page."""
    return ReportPage(await run_page(parts, eval_id, run_id))


def _described(session: Session, row: EvalRun, parts: Services) -> RunObject:
    counts = outcomes_of(session, [row.id])
    return RunObject.of(row, counts[row.id], parts.settings.base_url)
