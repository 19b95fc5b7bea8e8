"""What `everloop eval` does; the job runs suites by the same function."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from cluster.client import connected
from cluster.terminal import print_json
from deployments.evaluation.comparison.report import ComparisonReport
from deployments.evaluation.reports.tables import comparison_table
from deployments.evaluation.suites.following import how_to_follow
from deployments.evaluation.suites.junit import junit_xml
from deployments.evaluation.suites.kinds import kind_of
from deployments.evaluation.suites.reading import read_suite
from deployments.evaluation.suites.results import figures_of, item_result
from deployments.evaluation.suites.running import (
    SuiteOptions,
    SuiteRun,
    cancel_runs,
    plan_rules,
    run_suite,
    write_outcome,
)
from deployments.evaluation.suites.samples import copy_samples, sample_suites
from deployments.evaluation.suites.service import EvalService
from deployments.evaluation.suites.terminal import (
    print_figures,
    print_outcome,
    print_runs,
    print_samples,
)
from deployments.evaluation.suites.verdict import parse_fail_under

__all__ = ["cancel", "compare", "listed", "run", "samples", "show"]

_BELOW: Final = 1
_EVALS: Final = 20
_RUNS: Final = 5

Interrupted = Callable[[Console], bool]
"""Asked at Ctrl-C: whether to cancel what was started."""


def run(
    path: Path,
    *,
    fail_under: Sequence[str] = (),
    model: str | None = None,
    baseline: str | None = None,
    junit: Path | None = None,
    out: Path | None = None,
    base_url: str | None = None,
    as_json: bool = False,
    cancels: Interrupted | None = None,
) -> int:
    """Run a suite; 0 where every check was kept, 1 where not.

    Raises SuiteError (usage), UnreachableError, ApiError, and KeyboardInterrupt after having asked
    `cancels` what becomes of the run.
    """
    console = Console(stderr=True)
    loaded = read_suite(path)
    options = SuiteOptions(parse_fail_under(fail_under), model, baseline)
    plan_rules(loaded, options)
    running = SuiteRun()

    def note(started: SuiteRun) -> None:
        running.eval_id, running.run_ids = started.eval_id, started.run_ids

    with _service(base_url) as service:
        try:
            outcome = run_suite(service, loaded, options, console, note)
        except KeyboardInterrupt:
            _interrupted(service, running, console, cancels or _asked)
            raise
        written = [] if out is None else write_outcome(service, outcome, out)
    if junit is not None:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.write_bytes(junit_xml(outcome))
        written.append(junit)
    if as_json:
        print(json.dumps(outcome.document, indent=2, ensure_ascii=False))
    else:
        print_outcome(Console(), outcome)
    if written:
        console.print(f"Written: {', '.join(map(str, written))}", highlight=False, soft_wrap=True)
    return 0 if outcome.verdict.passed else _BELOW


def samples(out: Path | None, *, as_json: bool) -> None:
    """List the suites that ship, or copy them to a folder."""
    if out is not None:
        copied = copy_samples(out)
        if as_json:
            print_json([str(path) for path in copied])
        else:
            print("\n".join(str(path) for path in copied))
        return
    found = sample_suites()
    if as_json:
        print_json([suite._asdict() | {"path": str(suite.path)} for suite in found])
        return
    print_samples(Console(), found)


def listed(*, base_url: str | None, as_json: bool) -> None:
    """List the newest runs."""
    with _service(base_url) as service:
        runs = service.recent_runs(_EVALS, _RUNS)
    if as_json:
        print_json(runs)
    elif runs:
        print_runs(Console(), runs)
    else:
        print("No run was made yet: `everloop eval SUITE.yaml` makes one.")


def show(run_id: str, *, page: Path | None, base_url: str | None, as_json: bool) -> int:
    """Show a run as it stands: its figures from the items that are done. 1 where it failed."""
    with _service(base_url) as service:
        eval_id = service.eval_of_run(run_id)
        found = service.run(eval_id, run_id)
        criteria = service.criteria(eval_id)
        items = service.output_items(eval_id, run_id)
        if page is not None:
            page.write_text(service.page(eval_id, run_id), encoding="utf-8")
    kinds = [kind_of(spec) for spec in criteria]
    results = [item_result(item, kinds) for item in items]
    if as_json:
        print_json(found | {"output_items": items})
    else:
        console = Console()
        print_runs(console, [found])
        if origin := (found.get("metadata") or {}).get("synthetic"):
            console.print(f"{origin} are synthetic.", style="yellow", highlight=False)
        print_figures(console, [figures_of(results, kind.name) for kind in kinds])
        for result in [result for result in results if result.error][:_RUNS]:
            console.print(f"item {result.number}: {result.error}", markup=False, highlight=False)
        if page is not None:
            console.print(f"page: {page}", highlight=False, soft_wrap=True)
    return _BELOW if found["status"] == "failed" else 0


def compare(
    baseline: str,
    candidate: str,
    *,
    slice_by: str | None,
    page: Path | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Compare two runs item by item, by the service."""
    with _service(base_url) as service:
        found = service.compare(baseline, candidate, slice_by)
        if page is not None:
            page.write_text(service.comparison_page(str(found["id"])), encoding="utf-8")
    if as_json:
        print_json(found)
    else:
        report = ComparisonReport.model_validate(found["report"])
        Console().print(comparison_table(report), highlight=False)


def cancel(run_id: str, *, base_url: str | None, as_json: bool) -> None:
    """Cancel a run."""
    with _service(base_url) as service:
        found = service.cancel(service.eval_of_run(run_id), run_id)
    if as_json:
        print_json(found)
    else:
        print(f"{found['id']} is {found['status']}")


@contextmanager
def _service(base_url: str | None) -> Iterator[EvalService]:
    with connected(base_url) as client:
        yield EvalService(client)


def _interrupted(
    service: EvalService, running: SuiteRun, console: Console, cancels: Interrupted
) -> None:
    if not running.run_ids:
        return
    if cancels(console):
        cancel_runs(service, running)
        console.print(f"Cancelled: {' '.join(running.run_ids)}.", highlight=False)
    else:
        console.print(how_to_follow(running.run_ids), highlight=False, soft_wrap=True)


def _asked(console: Console) -> bool:
    """Ask a person; where nobody can be asked the run goes on."""
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    try:
        return console.input("\nCancel the run? [y/N] ").strip().casefold() in {"y", "yes"}
    except (EOFError, KeyboardInterrupt):
        return False
