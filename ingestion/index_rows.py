"""Rows of Milvus: written of passages, chosen by a filter expression, and read as hits."""

import json
from collections.abc import Sequence
from typing import Any, Final

from cluster.errors import VectorDatabaseError
from ingestion.analysis import analyse
from ingestion.passages import EmbeddedPassage, Hit

__all__ = ["OUTPUT", "TEXT_BYTES", "hit_of", "row_of", "rows_where"]

TEXT_BYTES: Final = 65_535
"""Milvus's largest VARCHAR."""
OUTPUT: Final = [
    "store_id",
    "number",
    "file_id",
    "ordinal",
    "text",
    "start",
    "end",
    "page",
    "page_end",
    "section",
]
"""The fields that `hit_of` reads."""
_NO_PAGE: Final = -1


def row_of(passage: EmbeddedPassage, language: str | None) -> dict[str, Any]:
    """The row that is written of a passage. Raises VectorDatabaseError: it has too many bytes."""
    chunk = passage.chunk
    if len(chunk.text.encode()) > TEXT_BYTES:
        raise VectorDatabaseError(
            f"Passage {chunk.ordinal} of file {passage.file_id} has "
            f"{len(chunk.text.encode())} bytes; Milvus takes {TEXT_BYTES}.",
            fix="Choose smaller chunks.",
        )
    return {
        "id": passage.id,
        "project_id": passage.project_id,
        "store_id": passage.store_id,
        "number": passage.number,
        "file_id": passage.file_id,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "page": _NO_PAGE if chunk.page is None else chunk.page,
        "page_end": _NO_PAGE if chunk.page_end is None else chunk.page_end,
        "text": chunk.text,
        "section": json.dumps(chunk.section, ensure_ascii=False),
        "analysed": _fitting(analyse(" ".join((*chunk.section, chunk.text)), language)),
        "dense": passage.vector,
    }


def rows_where(
    project_id: str | None,
    store_ids: Sequence[str] = (),
    numbers: Sequence[int] | None = None,
    excluded: Sequence[int] = (),
) -> str:
    """Write a Milvus filter expression; empty means every row, of all projects."""
    parts = []
    if project_id is not None:
        parts.append(f"project_id == {json.dumps(project_id)}")
    if len(store_ids) == 1:
        parts.append(f"store_id == {json.dumps(store_ids[0])}")
    elif store_ids:
        parts.append(f"store_id in {json.dumps(list(store_ids))}")
    if numbers is not None:
        parts.append(f"number in {sorted(int(number) for number in numbers)}")
    if excluded:
        parts.append(f"number not in {sorted(int(number) for number in excluded)}")
    return " and ".join(parts)


def hit_of(item: Any, anns_field: str) -> Hit:
    """What a search found: its row, and the score by vector or by words."""
    row = item["entity"]
    distance = float(item["distance"])
    dense = anns_field == "dense"
    score = distance if dense else abs(distance)
    return Hit(
        id=str(item["id"]),
        store_id=row["store_id"],
        number=int(row["number"]),
        file_id=row["file_id"],
        ordinal=int(row["ordinal"]),
        text=row["text"],
        start=int(row["start"]),
        end=int(row["end"]),
        page=None if row["page"] == _NO_PAGE else int(row["page"]),
        page_end=None if row["page_end"] == _NO_PAGE else int(row["page_end"]),
        section=tuple(json.loads(row["section"])),
        score=score,
        dense_score=score if dense else None,
        bm25_score=None if dense else score,
        vector=row.get("dense"),
    )


def _fitting(analysed: str) -> str:
    """As many whole terms as a VARCHAR takes."""
    data = analysed.encode()
    if len(data) <= TEXT_BYTES:
        return analysed
    return data[:TEXT_BYTES].decode(errors="ignore").rpartition(" ")[0]
