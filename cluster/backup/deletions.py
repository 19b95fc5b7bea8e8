"""What was deleted on purpose: a restore leaves it out, however old the backup is.

The ledger stands in the byte store, and in every place that a backup was written to, as far as it
can be reached; the next backup or restore brings the rest there.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from cluster.backup.place import open_place
from cluster.errors import StorageError
from cluster.ids import new_id
from cluster.records import now
from cluster.settings import Settings
from cluster.storage import ByteStore

__all__ = ["Deletions", "note_deletion", "remember_place", "share_ledger"]

_HERE: Final = "backup/deletions"
_THERE: Final = "deletions"
_PLACES: Final = "backup/places.json"
_MOST_PLACES: Final = 32
_BY_COLUMN: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "file": (("files", "id"), ("vector_store_files", "file_id")),
    "document": (("vector_store_files", "number"),),
    "vector_store": (
        ("vector_stores", "id"),
        ("vector_store_files", "store_id"),
        ("file_batches", "store_id"),
    ),
    "project": (("projects", "id"), ("*", "project_id")),
    "trace": (
        ("traces", "id"),
        ("trace_scores", "trace_id"),
        ("feedback", "trace_id"),
        ("question_vectors", "trace_id"),
    ),
    "response": (("responses", "id"),),
    "key": (("api_keys", "id"),),
}
"""Kind → the columns that name such a thing; `*`: of every table."""
_DOCUMENTS: Final = "vector_store_files"
_STORES: Final = "vector_stores"
_OF_PASSAGE: Final = {
    "file": "file_id",
    "document": "number",
    "vector_store": "store_id",
    "project": "project_id",
}


def note_deletion(settings: Settings, kind: str, ids: Iterable[str | int]) -> dict[str, list[str]]:
    """Have no restore bring these back.

    `kind`: file, document (numbers of versions), vector_store, project, trace, response, or
    key, one that was revoked; another is a ValueError. Blocking. Returns the backup places that
    know it (`noted`), and those that could not be reached and are told by the next backup
    (`pending`). Raises StorageError where it could not be noted at all.
    """
    if kind not in _BY_COLUMN:
        raise ValueError(f"kind is {kind!r}; allowed: {', '.join(_BY_COLUMN)}")
    entry = {"kind": kind, "ids": [str(one) for one in ids], "at": now()}
    name, data = new_id("deletion"), json.dumps(entry).encode()
    here = ByteStore(settings.storage_url, settings.storage.options)
    here.put(f"{_HERE}/{name}.json", [data])
    report: dict[str, list[str]] = {"noted": [], "pending": []}
    for where in _places(here):
        try:
            open_place(where, settings).put(f"{_THERE}/{name}.json", [data])
        except StorageError:
            report["pending"].append(where)
        else:
            report["noted"].append(where)
    return report


def remember_place(here: ByteStore, where: str) -> None:
    """Have deletions noted in this place from now on."""
    places = [place for place in _places(here) if place != where]
    here.put(_PLACES, [json.dumps([*places, where][-_MOST_PLACES:]).encode()])


def share_ledger(here: ByteStore, place: ByteStore) -> None:
    """Bring entries to the place that it lacks."""
    known = {one.key.removeprefix(f"{_THERE}/") for one in place.objects(_THERE)}
    for one in here.objects(_HERE):
        name = one.key.removeprefix(f"{_HERE}/")
        if name not in known:
            place.put(f"{_THERE}/{name}", [here.read(one.key)])


class Deletions:
    """What was deleted since a moment."""

    def __init__(self, ids: Mapping[str, frozenset[str]]) -> None:
        self._ids = {kind: found for kind, found in ids.items() if found}
        self._keys: set[str] = set()

    @classmethod
    def since(cls, place: ByteStore, at: int) -> "Deletions":
        """Read a place's ledger; entries of the second `at` itself count as later."""
        ids: dict[str, frozenset[str]] = {}
        for one in place.objects(_THERE):
            entry = json.loads(place.read(one.key))
            if entry["at"] >= at:
                ids[entry["kind"]] = ids.get(entry["kind"], frozenset()) | set(entry["ids"])
        return cls(ids)

    def has_row(self, table: str, row: Mapping[str, Any]) -> bool:
        """Whether a record is, or belongs to, something deleted; its bytes are then, too."""
        for kind, ids in self._ids.items():
            for name, column in _BY_COLUMN[kind]:
                if name in {table, "*"} and column in row and str(row[column]) in ids:
                    self._note_bytes(table, row)
                    return True
        return False

    def restored(self, table: str, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """A record as it is brought back; None: it is left out.

        Documents and stores come back as deleted, as they were before: so what quotes a document in
        the traces and responses of the backup is blotted out again.
        """
        if not self.has_row(table, row):
            return dict(row)
        at = now()
        if str(row.get("project_id")) in self._ids.get("project", ()):
            return None
        if table == _STORES:
            return {**row, "deleted_at": row["deleted_at"] or at}
        if table == _DOCUMENTS and "forget_at" in row:
            gone = {"live": False, "purged": True, "forget_at": at}
            return {**row, **gone, "deleted_at": row["deleted_at"] or at}
        return None

    def has_passage(self, row: Mapping[str, Any]) -> bool:
        """Whether a passage is of something deleted."""
        return any(
            str(row.get(column)) in self._ids.get(kind, ()) for kind, column in _OF_PASSAGE.items()
        )

    def has_key(self, key: str) -> bool:
        """Whether an object of the byte store is of a record that `has_row` was asked about."""
        return key in self._keys or key.partition("/")[0] in self._ids.get("project", ())

    def report(self) -> dict[str, Sequence[str]]:
        """What is left out, by kind."""
        return {kind: sorted(ids) for kind, ids in self._ids.items()}

    def _note_bytes(self, table: str, row: Mapping[str, Any]) -> None:
        if table == "files":
            self._keys.add(str(row["storage_key"]))
        elif table == "vector_store_files":
            text = f"text/{row['number']}.json"  # before there were projects
            self._keys |= {text, f"{row['project_id']}/{text}"}


def _places(here: ByteStore) -> list[str]:
    if not here.exists(_PLACES):
        return []
    found: list[str] = json.loads(here.read(_PLACES))
    return found
