"""`everloop prompts`."""

import typer

__all__ = ["prompts"]

prompts = typer.Typer(help="(being built)", no_args_is_help=True)
