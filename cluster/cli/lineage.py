"""`everloop lineage`: what anything was made of, and what it had a part in."""

from importlib import import_module
from typing import Annotated, Final

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["lineage"]

_COMMANDS: Final = "deployments.lineage.commands"


@guarded
def lineage(
    thing: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of a trace, response, feedback, file, store, job, adapter, gate run, …, or the "
            "name of an alias, prompt or model.",
        ),
    ],
    forward: Annotated[
        bool, typer.Option("--forward", help="What it had a part in, not what it was made of.")
    ] = False,
    depth: Annotated[
        int, typer.Option("--depth", min=1, max=32, help="Steps to the farthest thing.")
    ] = 16,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1000, help="Things of one type.")
    ] = 200,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only things of this type; several."),
    ] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show what a thing was made of, step by step: everloop lineage TRACE_ID."""
    import_module(_COMMANDS).show(
        thing,
        forward=forward,
        depth=depth,
        limit=limit,
        types=types or (),
        base_url=base_url,
        as_json=as_json,
    )
    return None
