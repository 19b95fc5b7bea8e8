"""`everloop drift`."""

import typer

__all__ = ["drift"]

drift = typer.Typer(help="(being built)", no_args_is_help=True)
