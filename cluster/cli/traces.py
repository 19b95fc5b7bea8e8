"""`everloop traces`."""

import typer

__all__ = ["traces"]

traces = typer.Typer(help="(being built)", no_args_is_help=True)
