"""`everloop usage`: what keys used, by month."""

from importlib import import_module
from typing import Annotated

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["usage"]


@guarded
def usage(
    months: Annotated[int, typer.Option(min=1, max=24, help="So many, newest first.")] = 3,
    key: Annotated[str | None, typer.Option(metavar="KEY_ID", help="Only of this key.")] = None,
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show requests, tokens and cost of the project, by month and key."""
    import_module("deployments.limits.commands").usage(
        months, key, base_url=base_url, as_json=as_json
    )
    return None
