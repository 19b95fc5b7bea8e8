"""`everloop feedback`."""

import typer

__all__ = ["feedback"]

feedback = typer.Typer(help="(being built)", no_args_is_help=True)
