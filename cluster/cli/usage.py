"""`everloop usage`: what keys used, by month and model."""

from importlib import import_module
from typing import Annotated, Literal

import typer

from cluster.cli.exits import guarded
from cluster.cli.options import AsJson, BaseUrl

__all__ = ["usage"]

By = Literal["key", "model"]


@guarded
def usage(
    months: Annotated[int, typer.Option(min=1, max=24, help="So many, newest first.")] = 3,
    key: Annotated[str | None, typer.Option(metavar="KEY_ID", help="Only of this key.")] = None,
    by: Annotated[By, typer.Option(help="What the rows of a month are.")] = "key",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> int | None:
    """Show requests, tokens and cost of the project, by month and by key or model.

    Requests are all that count against requests_per_minute. Tokens are those of every call to a
    model, judges included.
    """
    import_module("deployments.limits.commands").usage(
        months, key, by, base_url=base_url, as_json=as_json
    )
    return None
