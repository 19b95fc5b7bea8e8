"""What all records share."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Integer, String
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cluster.tenancy import acting_project

__all__ = ["Base", "Json", "Owned", "RowNumber", "now"]

Json = JSON().with_variant(postgresql.JSONB(), "postgresql")
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def now() -> int:
    """Seconds since the epoch, as OpenAI's `created_at` wants them."""
    return int(datetime.now(UTC).timestamp())


class Base(DeclarativeBase):
    """Declarative base of all records."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: Json, list[Any]: Json}


class Owned:
    """Mixin of records that belong to a project: queries see those of the acting one only."""

    project_id: Mapped[str] = mapped_column(String(64), default=acting_project)
