"""Reports of stored runs: loaded in one read, made in a thread."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import EvalRun
from deployments.errors import InvalidRequest
from deployments.evaluation.runs.scored import scored_run
from deployments.evaluator.messages import MadeReport

if TYPE_CHECKING:
    from deployments.evaluation.comparison.scored import ScoredRun

__all__ = ["compare_stored", "report_run"]

_SLICE_BY = "slice_by"
"""Metadata of a run: the fields of its items, joined by commas, of which the first makes slices."""


async def report_run(database: Database, run_id: str) -> MadeReport:
    """The report of a run that has ended. Raises NotFound."""
    from deployments.evaluation.reports.settings import ReportSettings

    def read(session: Session) -> "tuple[ScoredRun, str]":
        run = scored_run(session, run_id)
        field = str(session.get_one(EvalRun, run_id).meta.get(_SLICE_BY) or "")
        return run, field.split(",")[0].strip()

    run, field = await database.run(read, read_only=True)
    return await asyncio.to_thread(_report, run, ReportSettings(slice_by=field or None))


def _report(run: "ScoredRun", settings: Any) -> MadeReport:
    from deployments.evaluation.reports.building import report_of_run
    from deployments.evaluation.reports.page import run_page

    report = report_of_run(run, settings)
    return MadeReport(report.model_dump(mode="json"), run_page(report))


async def compare_stored(
    database: Database, baseline: str, candidate: str, settings: Mapping[str, Any]
) -> MadeReport:
    """Compare two completed runs. Raises InvalidRequest."""
    from deployments.evaluation.comparison.settings import ComparisonSettings

    chosen = _read_settings(ComparisonSettings, settings)

    def read(session: Session) -> "tuple[ScoredRun, ScoredRun]":
        return scored_run(session, baseline), scored_run(session, candidate)

    one, other = await database.run(read, read_only=True)
    return await asyncio.to_thread(_compared, one, other, chosen)


def _compared(baseline: "ScoredRun", candidate: "ScoredRun", settings: Any) -> MadeReport:
    from deployments.evaluation.comparison.compare import compare_runs
    from deployments.evaluation.comparison.scores import ComparisonError
    from deployments.evaluation.reports.page import comparison_page

    try:
        report = compare_runs(baseline, candidate, settings)
    except ComparisonError as error:
        raise InvalidRequest(str(error), param="candidate", code="not_comparable") from error
    return MadeReport(report.model_dump(mode="json"), comparison_page(report))


def _read_settings(kind: type[BaseModel], given: Mapping[str, Any]) -> Any:
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(
            f"{field} is {first.get('input')!r}: {first['msg']}.",
            param=field,
            code="invalid_value",
        ) from error
