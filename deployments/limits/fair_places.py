"""A bounded number of places for those who wait, of which no project takes all."""

from collections import Counter
from typing import Final

__all__ = ["FairPlaces"]


class FairPlaces:
    """A project may have as many as are still free.

    So one alone gets half of them, two a third each, and there is room for the next (A. K.
    Choudhury, E. L. Hahne, «Dynamic Queue Length Thresholds», IEEE/ACM ToN 6(2), 1998).
    """

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._taken: Counter[str] = Counter()

    def take(self, project_id: str) -> bool:
        """Take a place, until `leave`; False where there is none for this project."""
        if self._taken[project_id] >= self._most - self._taken.total():
            return False
        self._taken[project_id] += 1
        return True

    def leave(self, project_id: str) -> None:
        """Give a place back."""
        self._taken[project_id] -= 1
        self._taken += Counter()  # forgets projects that have none
