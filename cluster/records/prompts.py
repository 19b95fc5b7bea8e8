"""Prompts: immutable versions, and the labels that move over them."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, RowNumber, now

__all__ = ["PromptLabel", "PromptLabelMove", "PromptRecord", "PromptVersion"]


class PromptRecord(Owned, Base):
    """A named prompt. What it says stands in its versions."""

    __tablename__ = "prompts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(Text, default="")
    latest: Mapped[int] = mapped_column(Integer, default=0)
    """Number of the last version; numbers are never given twice."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    """Its versions stay readable: traces name them."""

    __table_args__ = (UniqueConstraint("project_id", "name", name="uq_prompts_project_name"),)


class PromptVersion(Owned, Base):
    """One version of a prompt. Never changed, never deleted."""

    __tablename__ = "prompt_versions"
    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """From 1."""
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(12))
    """Of the body; `name@digest` is what traces name."""
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    """Messages, variables, examples, schema, steps, stop, refusal."""
    comment: Mapped[str | None] = mapped_column(Text)
    """Why it was made."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)

    __table_args__ = (
        UniqueConstraint("prompt_id", "digest", name="uq_prompt_versions_digest"),
        Index("ix_prompt_versions_name", "project_id", "name", "digest"),
    )


class PromptLabel(Owned, Base):
    """A label of a prompt, such as `production`, and the version it stands at."""

    __tablename__ = "prompt_labels"
    prompt_id: Mapped[str] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    label: Mapped[str] = mapped_column(String(32), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    moves: Mapped[int] = mapped_column(Integer, default=1)
    """Counts its moves."""
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class PromptLabelMove(Owned, Base):
    """One move of a label. Never changed, never deleted."""

    __tablename__ = "prompt_label_moves"
    id: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    prompt_id: Mapped[str] = mapped_column(String(64), index=True)
    label: Mapped[str] = mapped_column(String(32))
    source: Mapped[int | None] = mapped_column(Integer)
    """Number of the version before; None for the first."""
    target: Mapped[int] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    """created, moved or rollback."""
    reason: Mapped[str | None] = mapped_column(Text)
    undone: Mapped[int] = mapped_column(Integer, default=0)
    """Of a rollback: how many moves it took back."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
