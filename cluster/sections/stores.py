"""Settings of the three stores."""

from typing import Any

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["DatabaseSettings", "MilvusSettings", "StorageSettings"]


class DatabaseSettings(Section):
    """The records."""

    url: str | None = Field(default=None, repr=False)
    """SQLAlchemy URL, such as `postgresql://user:password@host/everloop`; null is SQLite."""
    pool_size: int = Field(default=5, ge=1)
    """Connections per process."""


class StorageSettings(Section):
    """The bytes."""

    url: str | None = Field(default=None, repr=False)
    """fsspec URL such as `s3://bucket/prefix`; null is a folder under `data_dir`."""
    options: dict[str, Any] = Field(default_factory=dict, repr=False)
    """fsspec options, such as `endpoint_url`, `key`, `secret`."""


class MilvusSettings(Section):
    """The vectors."""

    uri: str | None = Field(default=None, repr=False)
    """A Milvus server, such as `http://milvus:19530`; null runs Milvus Lite on loopback."""
    token: str | None = Field(default=None, repr=False)
    """Token, or `user:password`."""
    port: int = Field(default=19530, ge=1, le=65535)
    """Port of the embedded Lite server."""
    timeout_s: float = Field(default=30.0, gt=0)
    """Time limit of one call."""
