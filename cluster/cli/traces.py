"""`everloop traces`: what requests did."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["traces"]

_COMMANDS: Final = "deployments.tracing.commands"

traces = typer.Typer(
    help="What requests did: list them, look at one, follow them, count, export.",
    no_args_is_help=True,
)

Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        metavar="NAME=VALUE",
        help="As of GET /v1/traces: status=5xx, model=…, alias=…, prompt_version=…, user=…, "
        "refused=true, min_duration_ms=…, score='groundedness<0.5', thumbs=down, file=…, "
        "experiment_id=…, since=2026-11-26T08:00, …; several.",
    ),
]
Search = Annotated[str | None, typer.Option("--search", "-q", help="Words in question or answer.")]


@traces.command("list")
@guarded
def list_traces(
    filters: Filter = None,
    search: Search = None,
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="Traces at most.")] = 20,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """List traces, newest first."""
    _commands().list_traces(filters or (), search, most, base_url=base_url, as_json=as_json)
    return None


@traces.command()
@guarded
def show(
    trace: Annotated[str, typer.Argument(metavar="ID", help="trace_… or a request's id.")],
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show a trace: stages with their times, passages, sentences, scores, feedback."""
    _commands().show(trace, base_url=base_url, as_json=as_json)
    return None


@traces.command()
@guarded
def tail(
    filters: Filter = None,
    search: Search = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show traces as they come, until Ctrl-C."""
    _commands().tail(filters or (), search, base_url=base_url, as_json=as_json)
    return None


@traces.command()
@guarded
def stats(
    filters: Filter = None,
    search: Search = None,
    by: Annotated[
        Literal["model", "alias", "prompt_version", "route", "arm", "hour", "day"] | None,
        typer.Option("--by", help="Figures of each of these too."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Count requests, errors, refusals, latency, tokens and cost; by default of the last day."""
    _commands().stats(filters or (), search, by, base_url=base_url, as_json=as_json)
    return None


@traces.command()
@guarded
def export(
    out: Annotated[Path, typer.Option("--out", help="JSON Lines file to write.")],
    filters: Filter = None,
    search: Search = None,
    most: Annotated[int, typer.Option("--most", min=1, help="Traces at most.")] = 10_000,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Write traces to a file, newest first, one JSON object a line."""
    _commands().export(out, filters or (), search, most, base_url=base_url, as_json=as_json)
    return None


@traces.command()
@guarded
def delete(
    trace: Annotated[str, typer.Argument(metavar="ID", help="trace_…")],
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Delete a trace with its scores and feedback."""
    _commands().delete(trace, base_url=base_url, as_json=as_json)
    return None


def _commands() -> Any:
    return import_module(_COMMANDS)
