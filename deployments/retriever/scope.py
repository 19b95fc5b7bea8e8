"""What a search may see, by the records: the database is the truth, Milvus an index of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import VectorStore, VectorStoreFile
from deployments.errors import NotFound
from deployments.retriever.filters import matches

__all__ = ["LiveFile", "Scope", "live_files", "read_scope"]

_MAX_EXCLUDED: Final = 500


@dataclass(frozen=True, slots=True)
class Scope:
    """Document versions that may be found."""

    numbers: tuple[int, ...] | None
    """Only these; None for all but `excluded`."""
    excluded: tuple[int, ...]
    """Versions that may have passages in Milvus and are not live."""
    languages: tuple[str | None, ...]
    """Languages of the live documents, whose stemmers the query needs."""


@dataclass(frozen=True, slots=True)
class LiveFile:
    """What a result says of the file it comes from."""

    filename: str
    attributes: dict[str, Any]


def read_scope(
    session: Session,
    store_ids: Sequence[str],
    filters: Mapping[str, Any] | None,
) -> Scope:
    """The scope of a search now. Raises NotFound unless the acting project has every store."""
    known = set(
        session.scalars(
            select(VectorStore.id).where(
                VectorStore.id.in_(store_ids),
                VectorStore.deleted_at.is_(None),
            )
        )
    )
    for store_id in store_ids:
        if store_id not in known:
            raise NotFound(
                f"No vector store {store_id!r} in this project.", param="vector_store_id"
            )
    in_stores = VectorStoreFile.store_id.in_(store_ids)
    live = (in_stores, VectorStoreFile.live.is_(True))
    languages = tuple(session.scalars(select(VectorStoreFile.language).where(*live).distinct()))
    if filters is not None:
        rows = session.execute(
            select(VectorStoreFile.number, VectorStoreFile.attributes).where(*live)
        )
        numbers = tuple(number for number, attributes in rows if matches(filters, attributes))
        return Scope(numbers, (), languages)
    hidden = tuple(
        session.scalars(
            select(VectorStoreFile.number)
            .where(in_stores, VectorStoreFile.live.is_(False), VectorStoreFile.purged.is_(False))
            .limit(_MAX_EXCLUDED + 1)
        )
    )
    if len(hidden) > _MAX_EXCLUDED:
        return Scope(
            tuple(session.scalars(select(VectorStoreFile.number).where(*live))), (), languages
        )
    return Scope(None, hidden, languages)


def live_files(session: Session, numbers: Sequence[int]) -> dict[int, LiveFile]:
    """Those of `numbers` that are live now."""
    rows = session.execute(
        select(VectorStoreFile.number, VectorStoreFile.filename, VectorStoreFile.attributes).where(
            VectorStoreFile.number.in_(numbers), VectorStoreFile.live.is_(True)
        )
    )
    return {number: LiveFile(filename, dict(attributes)) for number, filename, attributes in rows}
