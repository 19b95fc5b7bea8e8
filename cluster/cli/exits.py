"""Exit codes, and the one place where errors become them."""

import functools
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

import typer
from rich.console import Console
from rich.markup import escape

from cluster.errors import NO_SPACE, EverloopError, SettingsError, UnreachableError

__all__ = ["FAILED", "INTERRUPTED", "PARTIAL", "UNREACHABLE", "USAGE", "code_of", "guarded"]

FAILED: Final = 1
"""The command did not do what it was asked to."""
USAGE: Final = 2
"""Wrong arguments or settings."""
UNREACHABLE: Final = 3
"""No Everloop runs or answers."""
PARTIAL: Final = 4
"""Some files failed, the others are in."""
INTERRUPTED: Final = 130
"""Ctrl-C."""

P = ParamSpec("P")


def guarded(command: Callable[P, int | None]) -> Callable[P, None]:
    """Let a command return its exit code, and turn Everloop's errors and Ctrl-C into theirs."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        errors = Console(stderr=True)
        try:
            code = command(*args, **kwargs) or 0
        except EverloopError as error:
            errors.print(f"[bold red]Error:[/] {escape(error.message)}", highlight=False)
            if error.fix:
                errors.print(f"[bold]What to do:[/] {escape(error.fix)}", highlight=False)
            code = code_of(error)
        except KeyboardInterrupt:
            errors.print("Interrupted.")
            code = INTERRUPTED
        except BrokenPipeError:  # `everloop search … | head`
            sys.stderr.close()
            code = FAILED
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            errors.print(f"[bold red]Error:[/] No space is left: {escape(str(error))}.")
            errors.print("[bold]What to do:[/] Make room, and run the command again.")
            code = FAILED
        raise typer.Exit(code)

    return run


def code_of(error: EverloopError) -> int:
    """The exit code of an error."""
    if isinstance(error, SettingsError):
        return USAGE
    return UNREACHABLE if isinstance(error, UnreachableError) else FAILED
