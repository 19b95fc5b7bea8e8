"""What was read of the records, kept for a moment."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

__all__ = ["Kept"]

_KEPT: Final = 512

Item = TypeVar("Item")


class Kept(Generic[Item]):
    """A bounded map whose items count for `ttl_s` seconds."""

    def __init__(self, ttl_s: float, clock: Callable[[], float]) -> None:
        self._ttl_s = ttl_s
        self._clock = clock
        self._items: OrderedDict[str, tuple[float, Item]] = OrderedDict()

    def get(self, key: str, *, within_s: float | None = None) -> tuple[bool, Item | None]:
        """Whether it is known, and what it is; `within_s` stands in place of `ttl_s`."""
        found = self._items.get(key)
        if found is None or self._clock() - found[0] >= (within_s or self._ttl_s):
            return False, None
        return True, found[1]

    def put(self, key: str, item: Item, asked: float) -> None:
        """Keep what was asked for at `asked`; the oldest goes where there are too many."""
        self._items[key] = (asked, item)
        self._items.move_to_end(key)
        if len(self._items) > _KEPT:
            self._items.popitem(last=False)

    def drop(self, key: str) -> None:
        """Forget it."""
        self._items.pop(key, None)
