"""Traces and feedback that the rows of a file name, as `metadata.trace` and `metadata.feedback`."""

import json
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

__all__ = ["MOST_SOURCES", "RowSources", "read_eval_sources"]

MOST_SOURCES: Final = 50_000
"""Different ids that are kept of one file; further ones are counted."""
_FIELDS: Final = {"trace": "trace_", "trace_id": "trace_", "feedback": "fb_"}
"""Where rows name an id, and how such an id begins."""
_LONGEST: Final = 64
_LINE_BYTES: Final = 4 * 1024**2


class RowSources:
    """The ids that rows name, each once, in bounded memory."""

    def __init__(self, most: int | None = None) -> None:
        self._most: Final = MOST_SOURCES if most is None else most
        self._ids: dict[str, None] = {}
        self.more = 0
        """Mentions of ids beyond those that are kept."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Those found, in the order of the rows."""
        return tuple(self._ids)

    def see(self, said: Mapping[str, Any]) -> None:
        """Read what one row says of itself: an id, or several with commas between.

        Anything else is passed over.
        """
        for field, prefix in _FIELDS.items():
            value = said.get(field)
            for name in value.split(",") if isinstance(value, str) else ():
                if name.startswith(prefix) and len(name) <= _LONGEST:
                    self._add(name)

    def see_item(self, item: Mapping[str, Any]) -> None:
        """Read an item of an eval, which names ids itself or in its `metadata`."""
        self.see(item)
        if isinstance(metadata := item.get("metadata"), Mapping):
            self.see(metadata)

    def _add(self, name: str) -> None:
        if name in self._ids:
            return
        if len(self._ids) < self._most:
            self._ids[name] = None
        else:
            self.more += 1


def read_eval_sources(file: BinaryIO, found: RowSources) -> None:
    """Read an evals file, JSON Lines with `item`, for the ids in `item` and `item.metadata`.

    Whether its rows are sound is looked at when they are run: what is no JSON is passed over, and a
    line of more than 4 MiB ends the reading, as it would end a run. The file is at its beginning
    before and after. Blocking.
    """
    while (line := file.readline(_LINE_BYTES + 1)) and len(line) <= _LINE_BYTES:
        if any(prefix.encode() in line for prefix in _FIELDS.values()):
            _see_line(found, line)
    file.seek(0)


def _see_line(found: RowSources, line: bytes) -> None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return
    item = row.get("item") if isinstance(row, dict) else None
    if isinstance(item, dict):
        found.see_item(item)
