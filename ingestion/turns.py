"""Whose turn it is: projects share the places in work, and within one its stores do."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import NamedTuple

__all__ = ["Waiting", "in_turns"]


class Waiting(NamedTuple):
    """A row that waits for its turn."""

    number: int
    """Rows of one store go by it."""
    project_id: str
    store_id: str


def in_turns(
    waiting: Iterable[Waiting], busy: Mapping[tuple[str, str], int], limit: int
) -> list[int]:
    """Return the numbers of up to `limit` rows, in the order in which they are to be taken.

    Each is of the project that has fewest in work or taken, there of the store that has fewest.
    `busy`: rows in work, by project and store.
    """
    queues: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
    for row in sorted(waiting):
        queues[row.project_id, row.store_id].append(row.number)
    stores = Counter(busy)
    projects: Counter[str] = Counter()
    for (project, _), count in busy.items():
        projects[project] += count
    taken: list[int] = []
    while queues and len(taken) < limit:
        place = min(queues, key=lambda key: (projects[key[0]], stores[key], queues[key][0]))
        taken.append(queues[place].popleft())
        stores[place] += 1
        projects[place[0]] += 1
        if not queues[place]:
            del queues[place]
    return taken
