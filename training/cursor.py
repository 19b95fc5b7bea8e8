"""Where a run stands in its data, in terms that do not know how many workers there are.

An epoch's order is a function of seed and epoch alone. A step takes the next samples of that order,
whoever trains on them; so a run that goes on with another number of workers sees each sample once.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["DataCursor", "DataOrder", "epoch_order", "shares"]


@dataclass(frozen=True, slots=True)
class DataCursor:
    """`drawn` samples of epoch `epoch` (from 0) were trained on, and all of the epochs before."""

    epoch: int = 0
    drawn: int = 0


def epoch_order(count: int, seed: int, epoch: int) -> list[int]:
    """A permutation of range(count), by a keyed hash: the same in every version of Python."""

    def rank(index: int) -> bytes:
        return blake2b(f"{seed}/{epoch}/{index}".encode(), digest_size=8).digest()

    return sorted(range(count), key=lambda index: (rank(index), index))


class DataOrder:
    """The batches of a run over `count` samples, `batch` a step; an epoch's last may be smaller."""

    def __init__(self, count: int, batch: int, epochs: int, seed: int) -> None:
        self._count = count
        self._batch = batch
        self._epochs = epochs
        self._seed = seed
        self._shuffled: tuple[int, list[int]] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches until each sample was drawn once."""
        return -(-self._count // self._batch)

    @property
    def steps(self) -> int:
        """Batches in all."""
        return self._epochs * self.steps_per_epoch

    def finished(self, cursor: DataCursor) -> bool:
        """Whether nothing is left to draw."""
        return cursor.epoch >= self._epochs

    def take(self, cursor: DataCursor) -> tuple[list[int], DataCursor]:
        """The samples of the step at `cursor`, and the cursor after it."""
        if self._shuffled is None or self._shuffled[0] != cursor.epoch:
            self._shuffled = (cursor.epoch, epoch_order(self._count, self._seed, cursor.epoch))
        batch = self._shuffled[1][cursor.drawn : cursor.drawn + self._batch]
        drawn = cursor.drawn + len(batch)
        if drawn >= self._count:
            return batch, DataCursor(cursor.epoch + 1, 0)
        return batch, DataCursor(cursor.epoch, drawn)


def shares(lengths: Sequence[int], workers: int) -> list[list[int]]:
    """Indices of `lengths` for each worker, about equal in tokens; some empty if there are few."""
    load = [(0, worker) for worker in range(workers)]
    split: list[list[int]] = [[] for _ in range(workers)]
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        tokens, worker = heapq.heappop(load)
        split[worker].append(index)
        heapq.heappush(load, (tokens + lengths[index], worker))
    return split
