"""A completed run as comparisons and reports read it."""

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import EvalItem, EvalRun
from deployments.errors import NotFound
from deployments.evaluation.runs.ledger import stored_results
from deployments.evaluation.runs.samples import read_sample

if TYPE_CHECKING:
    from deployments.evaluation.comparison.scored import ScoredRun

__all__ = ["scored_run"]


def scored_run(session: Session, run_id: str) -> "ScoredRun":
    """The run with every item and score. Blocking. Raises NotFound, once it is deleted."""
    from deployments.evaluation.comparison.scored import ScoredGrader, ScoredItem, ScoredRun

    run = session.get(EvalRun, run_id)
    if run is None:
        raise NotFound(f"No such run: {run_id[:128]}.", param="run_id", code="not_found")
    rows = session.execute(select(EvalItem.number, EvalItem.item).where(EvalItem.run_id == run_id))
    items: dict[int, dict[str, Any]] = dict(rows.all())
    graders = [
        ScoredGrader(
            name=grader["name"],
            metric=grader["metric"],
            binary=grader["binary"],
            higher_is_better=grader["higher_is_better"],
            summary=grader.get("figures") or {},
            judge=grader.get("judge") or {},
        )
        for grader in (run.summary or {}).get("graders") or ()
    ]
    return ScoredRun(
        name=run.name or run.model or run.id,
        graders=graders,
        items=[
            ScoredItem(
                number=result.number,
                item=items[result.number],
                scores={name: score["value"] for name, score in result.scores.items()},
                passed={name: score["passed"] for name, score in result.scores.items()},
                sample=None if result.sample is None else read_sample(result.sample),
                error="" if result.error is None else str(result.error["message"]),
            )
            for result in stored_results(session, run_id)
        ],
    )
