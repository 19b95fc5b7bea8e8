"""A suite from its file to its verdict: the one path that `everloop eval` and the job share."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from cluster.errors import EverloopError
from deployments.evaluation.suites.following import follow_runs, require_completed
from deployments.evaluation.suites.items import synthetic_count
from deployments.evaluation.suites.kinds import GraderKind, kind_of
from deployments.evaluation.suites.outcome import Outcome
from deployments.evaluation.suites.reading import LoadedSuite, check_rows
from deployments.evaluation.suites.regressions import check_regressions
from deployments.evaluation.suites.results import ItemResult, figures_of, item_result
from deployments.evaluation.suites.service import EvalService
from deployments.evaluation.suites.suite import Thresholds
from deployments.evaluation.suites.verdict import (
    Check,
    FailUnder,
    Verdict,
    check_figures,
    rules_of,
)

__all__ = [
    "SuiteOptions",
    "SuiteRun",
    "cancel_runs",
    "plan_rules",
    "run_suite",
    "write_outcome",
]


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What a command line adds to a suite."""

    fail_under: FailUnder = field(default_factory=FailUnder)
    model: str | None = None
    baseline: str | None = None


@dataclass(slots=True)
class SuiteRun:
    """What was started, for whoever is interrupted meanwhile."""

    eval_id: str = ""
    run_ids: tuple[str, ...] = ()


def plan_rules(
    loaded: LoadedSuite, options: SuiteOptions
) -> tuple[list[GraderKind], dict[str, Thresholds], str | None]:
    """The graders' kinds, the thresholds that hold, and the baseline. Raises SuiteError."""
    suite = loaded.suite
    baseline = options.baseline or suite.baseline
    kinds = [kind_of(spec) for spec in suite.graders]
    rules = rules_of(suite.thresholds, kinds, options.fail_under, baseline=baseline is not None)
    return kinds, rules, baseline


def run_suite(
    service: EvalService,
    loaded: LoadedSuite,
    options: SuiteOptions,
    console: Console,
    started: Callable[[SuiteRun], None],
) -> Outcome:
    """Run a suite and judge it; `started` is told of the runs once they are there.

    Raises SuiteError for what is wrong with the suite or its options, ApiError where a run failed.
    """
    begin = time.monotonic()
    suite = loaded.suite
    kinds, rules, baseline = plan_rules(loaded, options)
    rows = loaded.rows
    if rows is None:
        rows = tuple(service.stored_rows(str(suite.data.file_id)))
        check_rows(loaded, rows)
    if baseline is not None:
        service.eval_of_run(baseline)  # known to be there before anything is asked
    model, store_ids = service.model_of(loaded, options.model), service.store_ids(loaded)
    eval_id = service.ensure_eval(loaded, rows)
    run = SuiteRun(eval_id)
    for seed in range(suite.seed, suite.seed + suite.repeats):
        run_id = service.start(loaded, rows, eval_id, model=model, store_ids=store_ids, seed=seed)
        run.run_ids += (run_id,)
        started(run)
    synthetic = synthetic_count(row.item for row in rows)
    heading = _heading(loaded, run, model, len(rows), synthetic)
    console.print(heading, highlight=False, soft_wrap=True)
    for ended in follow_runs(service, eval_id, run.run_ids, len(rows), console):
        require_completed(ended)
    results = [
        found for run_id in run.run_ids for found in _results(service, eval_id, run_id, kinds)
    ]
    checks = _checks(results, kinds, rules, expected=len(rows) * suite.repeats)
    comparison = None
    if baseline is not None:
        slice_by = suite.slices[0] if suite.slices else None
        comparison = service.compare(baseline, run.run_ids[0], slice_by, suite.alpha)
        checks += check_regressions(rules, comparison["report"])
    return Outcome(
        suite=suite.name,
        file=str(loaded.path),
        eval_id=eval_id,
        run_ids=run.run_ids,
        model=model,
        seed=suite.seed,
        items=len(rows),
        synthetic=synthetic,
        results=tuple(results),
        graders=tuple(kind.name for kind in kinds),
        slices=suite.slices,
        verdict=Verdict(tuple(checks)),
        seconds=time.monotonic() - begin,
        baseline=baseline,
        reports=tuple(service.report(eval_id, run_id) for run_id in run.run_ids),
        comparison=comparison,
    )


def write_outcome(service: EvalService, outcome: Outcome, folder: Path) -> list[Path]:
    """Write `report.json`, a page per run and, with a baseline, the comparison's page."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"report.json": json.dumps(outcome.document, indent=1, ensure_ascii=False)}
    for number, run_id in enumerate(outcome.run_ids, start=1):
        name = "page.html" if len(outcome.run_ids) == 1 else f"page-{number}.html"
        written[name] = service.page(outcome.eval_id, run_id)
    if outcome.comparison is not None:
        written["comparison.html"] = service.comparison_page(str(outcome.comparison["id"]))
    for name, text in written.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in written]


def cancel_runs(service: EvalService, run: SuiteRun) -> None:
    """Cancel what was started, as far as the service answers."""
    from openai import APIError

    for run_id in run.run_ids:
        with suppress(APIError, EverloopError):
            service.cancel(run.eval_id, run_id)


def _results(
    service: EvalService, eval_id: str, run_id: str, kinds: Sequence[GraderKind]
) -> list[ItemResult]:
    return [item_result(found, kinds) for found in service.output_items(eval_id, run_id)]


def _checks(
    results: Sequence[ItemResult],
    kinds: Sequence[GraderKind],
    rules: dict[str, Thresholds],
    *,
    expected: int,
) -> list[Check]:
    """An item that is missing is an error too: nothing passes by not being there."""
    figures = [figures_of(results, kind.name) for kind in kinds]
    good = sum(result.error is None for result in results)
    return check_figures(rules, figures, errors=max(0, expected - good), items=expected)


def _heading(
    loaded: LoadedSuite, run: SuiteRun, model: str | None, items: int, synthetic: int
) -> str:
    by = f"answered by {model}" if model else "with the answers given"
    made = f", {synthetic} of them synthetic" if synthetic else ""
    return f"{loaded.suite.name}: {items} items{made}, {by}; run {' '.join(run.run_ids)}."
