"""What a dataset holds, in numbers."""

from collections import Counter
from dataclasses import dataclass

from training.data.rows import KINDS, kind_of
from training.data.texts import turns
from training.examples import Example

__all__ = ["DatasetSummary", "Tally"]


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """Counts over the rows that have no problem."""

    rows: int
    by_kind: dict[str, int]
    """Rows of each kind that occurs."""
    messages: int
    """Of conversations, outputs included; a prompt and a completion are one each."""
    characters: int
    """Of everything that the model reads or writes; tools' definitions aside."""


class Tally:
    """Counts rows one by one."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._messages = 0
        self._characters = 0

    def add(self, example: Example) -> None:
        """Count one row."""
        spoken = turns(example)
        self._kinds[kind_of(example)] += 1
        self._messages += len(spoken)
        self._characters += sum(len(turn.text) for turn in spoken)

    @property
    def summary(self) -> DatasetSummary:
        """Of the rows so far."""
        return DatasetSummary(
            rows=self._kinds.total(),
            by_kind={kind: self._kinds[kind] for kind in KINDS if self._kinds[kind]},
            messages=self._messages,
            characters=self._characters,
        )
