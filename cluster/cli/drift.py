"""`everloop drift`: monitors, what moved, and data sets of it."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["drift"]

_COMMANDS: Final = "deployments.drift.commands"

Monitor = Annotated[str, typer.Argument(metavar="MONITOR", help="Id of a monitor, monitor_….")]

drift = typer.Typer(
    help="Watch whether questions, answers and costs move away from what was usual.",
    no_args_is_help=True,
)


@drift.command()
@guarded
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What alerts call it.")],
    alias: Annotated[str | None, typer.Option(help="Only requests to this alias.")] = None,
    model: Annotated[str | None, typer.Option(help="Only what this version answered.")] = None,
    vector_store: Annotated[
        str | None, typer.Option("--vector-store", help="Only searches of this store, by id.")
    ] = None,
    route: Annotated[str | None, typer.Option(help="Only this route.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="YAML with reference, schedule, signals and so on."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Watch requests from now on, against the first 2,000 unless --config says otherwise."""
    filters = {"alias": alias, "model": model, "vector_store": vector_store, "route": route}
    import_module(_COMMANDS).create(name, config, filters, base_url=base_url, as_json=as_json)
    return None


@drift.command("list")
@guarded
def list_monitors(base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """List the monitors."""
    import_module(_COMMANDS).listed(base_url=base_url, as_json=as_json)
    return None


@drift.command()
@guarded
def show(
    target: Annotated[
        str, typer.Argument(metavar="MONITOR|REPORT", help="Of a monitor the latest report.")
    ],
    page: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the readable page here.")
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show a report: signals, and the topics that moved with example questions."""
    import_module(_COMMANDS).show(target, page=page, base_url=base_url, as_json=as_json)
    return None


@drift.command()
@guarded
def run(monitor: Monitor, base_url: BaseUrl = None, as_json: AsJson = False) -> int | None:
    """Look now at what has come, without waiting for the schedule."""
    import_module(_COMMANDS).run(monitor, base_url=base_url, as_json=as_json)
    return None


@drift.command()
@guarded
def dataset(
    report: Annotated[str, typer.Argument(metavar="REPORT", help="Id of a report, drift_….")],
    topic: Annotated[int, typer.Option(min=1, help="The topic's number in the report.")],
    kind: Annotated[Literal["eval", "fine-tune"], typer.Option(help="What it is for.")] = "eval",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="Save a copy here.")
    ] = None,
    drafts: Annotated[
        bool | None,
        typer.Option(
            "--drafts/--no-drafts",
            help="Whether answers that no person accepted are taken; by default for eval sets.",
        ),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Make an eval set or a fine-tuning set of a topic; it is a file of the service at once."""
    import_module(_COMMANDS).dataset(
        report, topic, kind, out, drafts=drafts, base_url=base_url, as_json=as_json
    )
    return None
