"""Options that several commands have."""

from typing import Annotated

import typer

__all__ = ["AsJson", "BaseUrl", "Store"]

AsJson = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", help="Where Everloop answers; by default as the settings say."),
]
Store = Annotated[str, typer.Option("--store", help="Name or id of a vector store.")]
