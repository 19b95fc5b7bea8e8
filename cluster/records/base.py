"""What all records share."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Integer
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase

__all__ = ["Base", "Json", "RowNumber", "now"]

Json = JSON().with_variant(postgresql.JSONB(), "postgresql")
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def now() -> int:
    """Seconds since the epoch, as OpenAI's `created_at` wants them."""
    return int(datetime.now(UTC).timestamp())


class Base(DeclarativeBase):
    """Declarative base of all records."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: Json, list[Any]: Json}
