"""Who is next: start-time fair queueing over projects, users before background work.

P. Goyal, H. M. Vin, H. Cheng, «Start-time Fair Queuing», SIGCOMM 1996: an item gets the start tag
max(virtual time, finish tag of its flow's last item) and the finish tag start + cost / weight; the
smallest start tag goes first, and virtual time is the start tag of the last one that went. A flow
that was idle is at once at the front, and one that sends more than its share waits for itself.
"""

from collections import deque
from typing import Final, Generic, NamedTuple, TypeVar

__all__ = ["FairOrder", "Flow"]

Item = TypeVar("Item")
_KEPT: Final = 256


class Flow(NamedTuple):
    """Items that wait for one another."""

    background: bool
    """Goes only where nothing else waits."""
    project_id: str


class FairOrder(Generic[Item]):
    """Items in waiting."""

    def __init__(self) -> None:
        self._flows: dict[Flow, deque[tuple[float, Item]]] = {}
        self._finish: dict[Flow, float] = {}
        self._virtual = 0.0

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._flows.values()))

    def waiting(self, flow: Flow) -> int:
        """How many of this flow wait."""
        return len(self._flows.get(flow, ()))

    def push(self, flow: Flow, weight: float, cost: float, item: Item) -> None:
        """Have `item` wait; `cost` in any unit that is the same for all."""
        start = max(self._virtual, self._finish.get(flow, 0.0))
        self._finish[flow] = start + cost / weight
        self._flows.setdefault(flow, deque()).append((start, item))

    def peek(self) -> Item | None:
        """Who is next."""
        flow = self._next()
        return None if flow is None else self._flows[flow][0][1]

    def pop(self) -> Item | None:
        """Take the next one out."""
        flow = self._next()
        if flow is None:
            return None
        start, item = self._flows[flow].popleft()
        self._virtual = max(self._virtual, start)
        self._drop_empty(flow)
        if len(self._finish) > _KEPT:  # a flow whose tag is past starts as a new one does
            self._finish = {f: tag for f, tag in self._finish.items() if tag > self._virtual}
        return item

    def remove(self, flow: Flow, item: Item) -> bool:
        """Take one out that waits no more; False where it does not wait."""
        entries = self._flows.get(flow, deque())
        for index, (_, found) in enumerate(entries):
            if found is item:
                del entries[index]
                self._drop_empty(flow)
                return True
        return False

    def longest(self) -> Flow | None:
        """The flow of which most wait; background ones first."""
        return max(self._flows, key=lambda f: (f.background, len(self._flows[f])), default=None)

    def youngest(self, flow: Flow) -> Item:
        """The last that came of a flow of which some wait."""
        return self._flows[flow][-1][1]

    def ahead_of(self, flow: Flow) -> int:
        """How many would go before a new item of `flow`, if all cost and weigh the same."""
        own = self.waiting(flow)
        ahead = own
        for other, entries in self._flows.items():
            if other == flow or (other.background and not flow.background):
                continue
            if flow.background and not other.background:
                ahead += len(entries)
            else:
                ahead += min(len(entries), own + 1)
        return ahead

    def _next(self) -> Flow | None:
        return min(self._flows, key=lambda f: (f.background, self._flows[f][0][0]), default=None)

    def _drop_empty(self, flow: Flow) -> None:
        if not self._flows[flow]:
            del self._flows[flow]
