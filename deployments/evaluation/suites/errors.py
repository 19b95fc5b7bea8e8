"""What is wrong with a suite."""

from collections.abc import Sequence
from typing import NamedTuple

from cluster.errors import SettingsError

__all__ = ["Problem", "SuiteError", "refusal"]

_SHOWN = 20


class SuiteError(SettingsError):
    """A suite, its data or an option of its run is wrong: exit code 2."""


class Problem(NamedTuple):
    """One mistake in a file."""

    line: int | None
    """From 1; None where it is about the whole file."""
    text: str


def refusal(file: str, problems: Sequence[Problem], *, fix: str = "") -> SuiteError:
    """One error with all problems of a file, the first twenty in full."""
    lines = [
        f"line {problem.line}: {problem.text}" if problem.line else problem.text
        for problem in problems[:_SHOWN]
    ]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    if len(problems) == 1:
        return SuiteError(f"{file}{', ' if problems[0].line else ': '}{lines[0]}", fix=fix)
    listed = "\n  ".join(lines)
    return SuiteError(f"{file} has {len(problems)} problems:\n  {listed}", fix=fix)
