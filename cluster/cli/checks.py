"""A gate's checks in the terminal: one result and its reason each, indented where lines wrap."""

import textwrap
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console

__all__ = ["print_checks"]

_RESULT: Final = 8
_LEAST: Final = 40
"""Columns that a reason must have beside its result; else it stands below."""


def print_checks(run: Mapping[str, Any]) -> None:
    """Print those of a gate run to standard output; nothing where it has no report."""
    console = Console()
    verdict = (run["report"] or {}).get("verdict") or {}
    for check in verdict.get("checks", []):
        head, reason = f"  {check['result']:<{_RESULT}} ", str(check["reason"])
        if not console.is_terminal:  # a line each, for `grep`
            print(head + reason)
        elif console.width >= len(head) + _LEAST:
            indent = " " * len(head)
            print(
                textwrap.fill(reason, console.width, initial_indent=head, subsequent_indent=indent)
            )
        else:
            print(head.rstrip())
            print(
                textwrap.fill(
                    reason, console.width, initial_indent="    ", subsequent_indent="    "
                )
            )
