"""Evals, runs and items by their ids. NotFound where this project has none of that id."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.records import Eval, EvalItem, EvalRun
from deployments.errors import NotFound

__all__ = ["find_eval", "find_item", "find_run", "outcomes_of"]


def find_eval(session: Session, eval_id: str, *, lock: bool = False) -> Eval:
    """The eval."""
    query = select(Eval).where(Eval.id == eval_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(f"No such eval: {eval_id[:128]}.", param="eval_id", code="not_found")
    return row


def find_run(
    session: Session,
    run_id: str,
    eval_id: str | None = None,
    *,
    lock: bool = False,
    param: str = "run_id",
) -> EvalRun:
    """The run, of this eval where one is named."""
    query = select(EvalRun).where(EvalRun.id == run_id)
    if eval_id is not None:
        query = query.where(EvalRun.eval_id == eval_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        of_eval = f" of the eval {eval_id[:128]}" if eval_id is not None else ""
        raise NotFound(f"No such run{of_eval}: {run_id[:128]}.", param=param, code="not_found")
    return row


def find_item(session: Session, run_id: str, item_id: str) -> EvalItem:
    """A done item of a run."""
    row = session.scalar(
        select(EvalItem).where(
            EvalItem.id == item_id, EvalItem.run_id == run_id, EvalItem.status == "done"
        )
    )
    if row is None:
        raise NotFound(
            f"No such output item: {item_id[:128]}.", param="output_item_id", code="not_found"
        )
    return row


def outcomes_of(session: Session, run_ids: Sequence[str]) -> Mapping[str, Mapping[str | None, int]]:
    """How many items of each run came out how; under None those that are not done."""
    counts: dict[str, Counter[str | None]] = {run_id: Counter() for run_id in run_ids}
    rows = session.execute(
        select(EvalItem.run_id, EvalItem.outcome, func.count())
        .where(EvalItem.run_id.in_(run_ids))
        .group_by(EvalItem.run_id, EvalItem.outcome)
    )
    for run_id, outcome, count in rows:
        counts[run_id][outcome] = count
    return counts
