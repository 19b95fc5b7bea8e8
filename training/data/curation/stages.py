"""What a stage that looks at one row at a time says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from training.examples import Example

__all__ = ["RowStage", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row that stays, as it is or changed, or goes."""

    example: Example
    removed_for: str = ""
    """Why the row goes; empty when it stays. One of few: receipts count them."""
    found: Mapping[str, int] = field(default_factory=dict)
    """What was found in the row, and how often."""


class RowStage(Protocol):
    """A stage that judges a row by itself."""

    @property
    def name(self) -> str:
        """The stage's name in settings and receipts."""
        ...

    def judge(self, example: Example) -> Verdict:
        """Say whether the row stays, and as what."""
        ...
