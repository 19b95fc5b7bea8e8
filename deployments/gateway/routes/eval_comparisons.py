"""`/v1/evals/comparisons`: two runs, item by item, and what may be said of their difference."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import EvalComparison, now
from deployments.errors import NotFound
from deployments.gateway.evals.bodies import ComparisonCreate
from deployments.gateway.evals.objects import ComparisonObject
from deployments.gateway.evals.reporting import ended_run, keep_page
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.report_pages import ReportPage
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/evals/comparisons", tags=["Evals"])
Parts = Annotated[Services, Depends(services)]


@router.post("", summary="Compare two runs", status_code=201)
async def create_comparison(body: ComparisonCreate, parts: Parts) -> ComparisonObject:
    """Compare the candidate run with the baseline run, over the items that both have."""
    await ended_run(parts, body.baseline, "baseline")
    await ended_run(parts, body.candidate, "candidate")
    made = await parts.evaluator.compare(body.baseline, body.candidate, body.settings)
    comparison_id = new_id("evalcmp")
    key = await keep_page(parts, comparison_id, made.page)

    def keep(session: Session) -> ComparisonObject:
        row = EvalComparison(
            id=comparison_id,
            baseline_run=body.baseline,
            candidate_run=body.candidate,
            settings=body.settings,
            report=made.report,
            page_key=key,
            created_at=now(),
        )
        session.add(row)
        session.flush()
        return ComparisonObject.of(row)

    return await parts.database.run(keep)


@router.get("", summary="List comparisons")
async def list_comparisons(
    parts: Parts, page: Annotated[PageQuery, Depends(PageQueryDependency)]
) -> Page[ComparisonObject]:
    """List comparisons, newest first, without their reports."""

    def read(session: Session) -> Page[ComparisonObject]:
        query = select(EvalComparison)
        rows, has_more = take_page(session, query, EvalComparison.id, page)
        found = [ComparisonObject.of(row, whole=False) for row in rows]
        return Page[ComparisonObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{comparison_id}", summary="Retrieve a comparison")
async def retrieve_comparison(comparison_id: str, parts: Parts) -> ComparisonObject:
    """Describe a comparison, with its whole report."""
    return ComparisonObject.of(await _find(parts, comparison_id))


@router.get(
    "/{comparison_id}/page", summary="Read a comparison's report", response_class=ReportPage
)
async def read_page(comparison_id: str, parts: Parts) -> ReportPage:
    """The report as one readable page."""
    row = await _find(parts, comparison_id)
    page = await asyncio.to_thread(parts.storage.read, row.page_key or "")
    return ReportPage(page.decode())


async def _find(parts: Services, comparison_id: str) -> EvalComparison:
    row = await parts.database.run(
        lambda session: session.get(EvalComparison, comparison_id), read_only=True
    )
    if row is None:
        raise NotFound(
            f"No such comparison: {comparison_id[:128]}.",
            param="comparison_id",
            code="not_found",
        )
    return row
