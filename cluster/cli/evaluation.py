"""`everloop eval`: suites, their runs, comparisons and synthetic test sets."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from cluster.cli.exits import USAGE, guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["evaluation"]

_SUITES: Final = "deployments.evaluation.suites.commands"
_SYNTHESIS: Final = "deployments.evaluation.synthesis.commands"
_RUN: Final = "run"

Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, evalrun_….")]
Page = Annotated[Path | None, typer.Option(metavar="FILE", help="Save the readable page here.")]


class _SuiteFirst(TyperGroup):
    """A group in which `eval SUITE.yaml` stands for `eval run SUITE.yaml`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `run` before what is neither a command nor a wish for help."""
        helps = set(ctx.help_option_names)
        if args and args[0] not in self.commands and args[0] not in helps:
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


evaluation = typer.Typer(
    cls=_SuiteFirst,
    help="Ask a service the questions of a suite and judge the answers: everloop eval SUITE.yaml.",
    epilog="`everloop eval SUITE.yaml` is short for `everloop eval run SUITE.yaml`. Exit codes: 0 "
    "every check was kept, 1 one was not or the run failed, 2 the suite or an option is wrong, "
    "3 nothing runs there, 130 interrupted.",
    no_args_is_help=True,
)


@evaluation.command(_RUN)
@guarded
def run_suite(
    suite: Annotated[
        Path | None, typer.Argument(metavar="SUITE.yaml", help="See docs/evaluation.md.")
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-under",
            metavar="NUMBER|GRADER=NUMBER",
            help="NUMBER, from 0 to 1: fail where the pass rate of any pass-or-fail grader is "
            "lower. The pass rate is the share of passed items among the scored ones; "
            "pass-or-fail are string_check, label_model, metrics of 0 and 1, and graders with a "
            "pass_threshold. It stands in place of min_pass_rate in the suite. GRADER=NUMBER: "
            "fail where this grader's mean score is lower; in place of its min_mean. Several.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="What answers, in place of the suite's: model or alias.")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN", help="Fail where the paired test shows a grader worse than in this run."
        ),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the checks as JUnit XML.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write report.json and the page to read."),
    ] = None,
    samples: Annotated[
        bool,
        typer.Option(
            "--samples", help="List the suites that ship; with --out copy them to the folder."
        ),
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Run a suite and judge it. Items that could not be answered or graded fail it."""
    if samples == (suite is not None):
        typer.echo("Give either a suite or --samples.", err=True)
        return USAGE
    if samples or suite is None:
        import_module(_SUITES).samples(out, as_json=as_json)
        return None
    code: int = import_module(_SUITES).run(
        suite,
        fail_under=fail_under or (),
        model=model,
        baseline=baseline,
        junit=junit,
        out=out,
        base_url=base_url,
        as_json=as_json,
    )
    return code


@evaluation.command("list")
@guarded
def list_runs(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List the newest runs."""
    import_module(_SUITES).listed(base_url=base_url, as_json=as_json)
    return None


@evaluation.command()
@guarded
def show(
    run: Run, page: Page = None, base_url: BaseUrl = None, as_json: AsJson = False
) -> int | None:
    """Show a run as it stands. Exit code 1 when it failed."""
    code: int = import_module(_SUITES).show(run, page=page, base_url=base_url, as_json=as_json)
    return code


@evaluation.command()
@guarded
def compare(
    baseline: Annotated[str, typer.Argument(metavar="BASELINE", help="Id of a run.")],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="Id of a run.")],
    slice_by: Annotated[
        str | None, typer.Option("--slice-by", metavar="FIELD", help="A field of the items.")
    ] = None,
    page: Page = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Compare two runs item by item: paired tests, intervals, power, slices."""
    import_module(_SUITES).compare(
        baseline, candidate, slice_by=slice_by, page=page, base_url=base_url, as_json=as_json
    )
    return None


@evaluation.command()
@guarded
def cancel(run: Run, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Cancel a run; what is done of it stays."""
    import_module(_SUITES).cancel(run, base_url=base_url, as_json=as_json)
    return None


@evaluation.command()
@guarded
def synthesize(
    store: Annotated[str, typer.Argument(metavar="STORE", help="Name or id of a vector store.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="JSON Lines to write.")],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=5000, help="Rows wanted.")] = 50,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="model, definition, table, cloze; several. By default all four."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Writes questions; by default the first model.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of passages.")] = 0,
    found_within: Annotated[
        int,
        typer.Option(
            "--found-within",
            min=1,
            max=50,
            help="Rank at which a search must find the passage's document for its question.",
        ),
    ] = 5,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make a test set of a store's documents: questions, answers and where they stand.

    Every row says that it is synthetic and what made it; FILE.receipt.json counts what each
    filter removed. Exit code 1 when no row was left.
    """
    code: int = import_module(_SYNTHESIS).synthesize(
        store,
        out,
        count=count,
        methods=method or (),
        model=model,
        seed=seed,
        found_within=found_within,
        base_url=base_url,
        as_json=as_json,
    )
    return code
