"""Reports of stored runs: loaded in one read, made in a thread."""

import asyncio
import html
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import Eval, EvalRun
from deployments.errors import InvalidRequest
from deployments.evaluator.messages import MadeReport

__all__ = ["compare_stored", "report_run"]


async def report_run(database: Database, run_id: str) -> MadeReport:
    """The report of a completed run."""

    def read(session: Session) -> dict[str, Any]:
        run = session.get_one(EvalRun, run_id)
        of = session.get_one(Eval, run.eval_id)
        return {
            "object": "eval.run.report",
            "run": {"id": run.id, "name": run.name, "model": run.model, "items": run.items},
            "eval": {"id": of.id, "name": of.name},
            **(run.summary or {}),
        }

    report = await database.run(read, read_only=True)
    return MadeReport(report, _plain_page(report))


def _plain_page(report: Mapping[str, Any]) -> str:
    told = html.escape(json.dumps(report, indent=2, ensure_ascii=False))
    return f"<!doctype html><meta charset=utf-8><title>Report</title><pre>{told}</pre>"


async def compare_stored(
    database: Database, baseline: str, candidate: str, settings: Mapping[str, Any]
) -> MadeReport:
    """Compare two completed runs. Raises InvalidRequest."""
    from pydantic import ValidationError

    from deployments.evaluation.comparison.compare import compare_runs
    from deployments.evaluation.comparison.scores import ComparisonError
    from deployments.evaluation.comparison.settings import ComparisonSettings
    from deployments.evaluation.runs.scored import scored_run

    try:
        chosen = ComparisonSettings.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(
            f"{field} is {first.get('input')!r}: {first['msg']}.",
            param=field,
            code="invalid_value",
        ) from error
    runs = await database.run(
        lambda session: (scored_run(session, baseline), scored_run(session, candidate)),
        read_only=True,
    )
    try:
        made = await asyncio.to_thread(compare_runs, *runs, chosen)
    except ComparisonError as error:
        raise InvalidRequest(str(error), param="candidate", code="not_comparable") from error
    report = made.model_dump(mode="json")
    return MadeReport(report, _plain_page(report))
