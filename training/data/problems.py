"""What is wrong with a dataset, line by line."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.errors import DatasetError

__all__ = ["WHOLE_FILE", "Problem", "ProblemList", "refusal"]

WHOLE_FILE = 0
"""The line of a problem that is no single line's."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a dataset."""

    line: int
    """From 1; of a Parquet file the row; `WHOLE_FILE` where it is no single line's."""
    field: str
    """Path inside the row, such as `messages[2].role`, or a column; empty for the whole row."""
    message: str
    """What was seen and what is allowed: one sentence."""

    def __str__(self) -> str:
        place = f"line {self.line}" if self.line else "the file"
        return (
            f"{place}, {self.field}: {self.message}" if self.field else f"{place}: {self.message}"
        )


class ProblemList:
    """The first `most` problems, and how many more there were."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: list[Problem] = []
        self.more = 0

    def add(self, problem: Problem) -> None:
        """Keep the problem, or only count it."""
        if len(self._kept) < self._most:
            self._kept.append(problem)
        else:
            self.more += 1

    @property
    def kept(self) -> tuple[Problem, ...]:
        """In the order of the file."""
        return tuple(self._kept)


def refusal(name: str, problems: Sequence[Problem], more: int) -> DatasetError:
    """The error that lists every problem that was kept."""
    count = len(problems) + more
    lines = [f"  {problem}" for problem in problems]
    if more:
        lines.append(f"  and {more} more")
    plural = "" if count == 1 else "s"
    return DatasetError("{} has {} problem{}:\n{}".format(name, count, plural, "\n".join(lines)))
