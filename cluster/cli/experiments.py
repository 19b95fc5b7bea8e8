"""`everloop experiments`."""

import typer

__all__ = ["experiments"]

experiments = typer.Typer(help="(being built)", no_args_is_help=True)
