"""A suite's outcome as tables in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from cluster.tables import plain_table, show_table
from cluster.terminal import shown_time
from deployments.evaluation.suites.outcome import Outcome, failing_items
from deployments.evaluation.suites.results import Figures, figures_of, sliced
from deployments.evaluation.suites.samples import SampleSuite

__all__ = ["print_figures", "print_outcome", "print_runs", "print_samples"]

_FAILING = 3


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print figures, slices, checks with their reasons, and the verdict."""
    if outcome.origin:
        console.print(Text(f"{outcome.origin}.", style="yellow"))
    print_figures(console, outcome.figures)
    for name in outcome.slices:
        table = plain_table(name, "items", *outcome.graders)
        for value, part in sliced(outcome.results, name).items():
            shown = (_number(figures_of(part, grader).mean) for grader in outcome.graders)
            table.add_row(Text(value), str(len(part)), *shown)
        console.print()
        show_table(console, table)
    console.print()
    for check in outcome.verdict.checks:
        mark = Text("kept    ", style="green") if check.passed else Text("not kept", style="red")
        spare = "" if check.spare is None or not check.passed else f" ({check.spare} to spare)"
        console.print(Text.assemble(mark, "  ", check.reason, spare), soft_wrap=True)
        if not check.passed and check.grader:
            lines, more = failing_items(outcome.results, check.grader, _FAILING)
            for line in lines:
                console.print(Text(f"            {line}", style="dim"), soft_wrap=True)
            if more:
                console.print(Text(f"            and {more} more", style="dim"))
    for result in outcome.errors[:_FAILING]:
        console.print(Text(f"            item {result.number}: {result.error}", style="dim"))
    good = outcome.verdict.passed
    verdict = Text("passed" if good else "failed", style="bold green" if good else "bold red")
    console.print(Text.assemble(f"{outcome.suite}: ", verdict))


def print_figures(console: Console, figures: Sequence[Figures]) -> None:
    """Print a row per grader."""
    table = plain_table("grader", "scored", "mean", "passed", "pass rate")
    for found in figures:
        table.add_row(
            Text(found.grader),
            str(found.scored),
            _number(found.mean),
            f"{found.passed} of {found.judged}" if found.judged else "-",
            _number(found.pass_rate),
        )
    show_table(console, table)


def print_runs(console: Console, runs: Sequence[Mapping[str, Any]]) -> None:
    """Print a row per run, newest first."""
    table = plain_table("run", "suite", "model", "status", "passed", "failed", "errors", "made")
    for run in runs:
        counts = run.get("result_counts") or {}
        name = str(run.get("name") or run.get("eval_name") or "-")
        synthetic = " (synthetic)" if (run.get("metadata") or {}).get("synthetic") else ""
        table.add_row(
            run["id"],
            Text(name + synthetic),
            Text(str(run.get("model") or "-")),
            run["status"],
            *(str(counts.get(key, "-")) for key in ("passed", "failed", "errored")),
            shown_time(run["created_at"]),
        )
    show_table(console, table)


def print_samples(console: Console, suites: Sequence[SampleSuite]) -> None:
    """Print a row per suite that ships, and how to have it."""
    table = plain_table("suite", "items", "what it asks")
    for suite in suites:
        table.add_row(suite.path.name, str(suite.items), Text(suite.description))
    show_table(console, table)
    console.print(
        "\nCopy them with `everloop eval --samples --out FOLDER`, then run one with "
        "`everloop eval FOLDER/NAME.yaml`.",
        highlight=False,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
