"""The offline twin: an experiment's arms over the items of a suite, each against the control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cluster.arms import arm_reference
from deployments.evaluation.suites.following import follow_runs, require_completed
from deployments.evaluation.suites.reading import LoadedSuite, check_rows
from deployments.evaluation.suites.service import EvalService

__all__ = ["ComparedArm", "compare_arms"]


@dataclass(frozen=True, slots=True)
class ComparedArm:
    """An arm's run, and its comparison with the control's."""

    arm: str
    run_id: str
    comparison: Mapping[str, Any]


def compare_arms(
    service: EvalService,
    experiment_id: str,
    arms: Sequence[str],
    loaded: LoadedSuite,
    console: Console,
) -> list[ComparedArm]:
    """Ask each arm, the control first, every item; these requests are none of the experiment's.

    Raises SuiteError for the suite, ApiError where a run failed.
    """
    suite = loaded.suite
    rows = loaded.rows
    if rows is None:
        rows = tuple(service.stored_rows(str(suite.data.file_id)))
        check_rows(loaded, rows)
    store_ids, eval_id = service.store_ids(loaded), service.ensure_eval(loaded, rows)
    runs = [
        service.start(
            loaded,
            rows,
            eval_id,
            model=service.model_of(loaded, arm_reference(experiment_id, arm)),
            store_ids=store_ids,
            seed=suite.seed,
        )
        for arm in arms
    ]
    console.print(
        f"{suite.name}: {len(rows)} items, answered by {len(arms)} arms; runs {' '.join(runs)}.",
        highlight=False,
        soft_wrap=True,
    )
    for ended in follow_runs(service, eval_id, runs, len(rows), console):
        require_completed(ended)
    slice_by = suite.slices[0] if suite.slices else None
    return [
        ComparedArm(arm, run, service.compare(runs[0], run, slice_by, suite.alpha))
        for arm, run in zip(arms[1:], runs[1:], strict=True)
    ]
