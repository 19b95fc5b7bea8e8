"""What travels along the document path, one type per hop.

bytes → ParsedDocument (loaders) → Chunk (chunking) → EmbeddedPassage (embedding) → Milvus → Hit
"""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Block", "Chunk", "EmbeddedPassage", "Hit", "ParsedDocument"]

BlockKind = Literal["title", "text", "list", "table", "code"]


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph-like piece of a document: `text[start:end]` of the normalised text."""

    kind: BlockKind
    start: int
    end: int
    page: int | None = None
    """1-based page (PDF), slide (PPTX) or sheet (XLSX); None where the format has none."""
    section: tuple[str, ...] = ()
    """Titles above this block, outermost first; for a title block without itself."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A document as normalised text (NFKC, ligatures, hyphenation, control characters)."""

    text: str
    blocks: tuple[Block, ...]
    """In reading order, not overlapping, non-empty."""
    language: str | None = None
    """ISO 639-1 code, or None where the text is too short to tell."""
    pages: int | None = None
    mime: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `document.text[start:end]`, with where it stands."""

    ordinal: int
    text: str
    start: int
    end: int
    tokens: int
    page: int | None = None
    page_end: int | None = None
    section: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddedPassage:
    """A chunk with its identity and vector, ready for the index."""

    id: str
    """`content_id("psg", store_id, str(number), sha256, str(ordinal))`."""
    project_id: str
    store_id: str
    number: int
    """`VectorStoreFile.number`: the document version that it belongs to."""
    file_id: str
    chunk: Chunk
    vector: list[float]


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that the index found. `score` is higher for better, whatever the back end says."""

    id: str
    store_id: str
    number: int
    file_id: str
    ordinal: int
    text: str
    start: int
    end: int
    page: int | None
    page_end: int | None
    section: tuple[str, ...]
    score: float
    dense_score: float | None = None
    """Cosine similarity of query and passage, -1 to 1."""
    bm25_score: float | None = None
    vector: list[float] | None = field(default=None, repr=False)
    """Filled where asked for (MMR)."""
    extra: dict[str, Any] = field(default_factory=dict)
