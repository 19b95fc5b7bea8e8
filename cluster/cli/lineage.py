"""`everloop lineage`."""

import typer

__all__ = ["lineage"]

lineage = typer.Typer(help="(being built)", no_args_is_help=True)
