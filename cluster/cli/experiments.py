"""`everloop experiments`: an alias's traffic split between arms."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cluster.cli.exits import USAGE, guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["experiments"]

_BODIES: Final = "deployments.experiments.commands"

Id = Annotated[str, typer.Argument(metavar="EXPERIMENT", help="Its id, exp_….")]
Reason = Annotated[str | None, typer.Option("--reason", help="Kept with it.")]
Arm = Annotated[str | None, typer.Option("--arm", metavar="NAME", help="One arm of it.")]

experiments = typer.Typer(
    help="Split an alias's traffic between prompts, retrieval settings, models and adapters.",
    no_args_is_help=True,
)


def _bodies() -> Any:
    return import_module(_BODIES)


@experiments.command()
@guarded
def create(
    file: Annotated[Path, typer.Argument(metavar="FILE.yaml", help="See docs/api.md.")],
    start: Annotated[bool, typer.Option("--start", help="Let it run at once.")] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make an experiment of a file; a draft unless it is started."""
    _bodies().create(file, start=start, base_url=base_url, as_json=as_json)
    return None


@experiments.command("list")
@guarded
def list_experiments(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List experiments, newest first."""
    _bodies().listed(base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def show(
    experiment: Id,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show it anew each second until it ends.")
    ] = False,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show what is known of the arms: differences with their intervals, faults, users needed."""
    if follow and as_json:
        typer.echo("Give either --follow or --json.", err=True)
        return USAGE
    _bodies().show(experiment, follow=follow, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def start(experiment: Id, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Let a draft run. What its arms name is pinned now."""
    _bodies().changed(experiment, "start", {}, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def stop(
    experiment: Id,
    reason: Annotated[str, typer.Option("--reason", help="Kept with it.")],
    arm: Arm = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """End an experiment, or with --arm take one arm out."""
    path = "stop" if arm is None else f"arms/{arm}/stop"
    _bodies().changed(experiment, path, {"reason": reason}, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def ramp(
    experiment: Id,
    share: Annotated[float, typer.Argument(min=0.0, max=1.0, help="Of the alias's traffic.")],
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Let another share of the traffic in; planned steps end with it."""
    _bodies().changed(experiment, "ramp", {"share": share}, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def promote(
    experiment: Id,
    arm: Arm = None,
    reason: Reason = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Move the alias to the winner, or with --arm and --reason to another arm."""
    _bodies().promote(experiment, arm, reason, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def offline(
    experiment: Id,
    suite: Annotated[Path, typer.Argument(metavar="SUITE.yaml", help="See docs/evaluation.md.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Write each comparison as a page."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Ask all arms the questions of a suite, and compare each with the control."""
    _bodies().offline(experiment, suite, out=out, base_url=base_url, as_json=as_json)
    return None


@experiments.command()
@guarded
def events(experiment: Id, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List what happened to an experiment, oldest first."""
    _bodies().events(experiment, base_url=base_url, as_json=as_json)
    return None
