"""What every loader yields, and how the pieces become one text with offsets."""

from collections.abc import Iterable
from dataclasses import dataclass

from ingestion.normalise import normalise
from ingestion.passages import Block, BlockKind

__all__ = ["Piece", "assemble"]

_LONGEST_TITLE = 200
_BETWEEN_BLOCKS = "\n\n"


@dataclass(frozen=True, slots=True)
class Piece:
    """A paragraph, list item, title, table row or code block as a loader read it."""

    kind: BlockKind
    text: str
    page: int | None = None
    level: int = 0
    """Depth of a title, 0 for the outermost. Nothing for other kinds."""


def assemble(pieces: Iterable[Piece], *, page_is_section: bool = False) -> tuple[str, list[Block]]:
    """Return the normalised text of `pieces` and the blocks that index into it.

    Titles are stacked by level into the section path of what follows. With `page_is_section`
    (slides, sheets) a new page starts with an empty path.
    """
    parts: list[str] = []
    blocks: list[Block] = []
    titles: list[tuple[int, str]] = []
    position = 0
    page: int | None = None
    for piece in pieces:
        text = _text_of(piece)
        if not text:
            continue
        if page_is_section and piece.page != page:
            titles.clear()
        page = piece.page
        kind = piece.kind
        if kind == "title" and len(text) > _LONGEST_TITLE:
            kind = "text"
        if kind == "title":
            while titles and titles[-1][0] >= piece.level:
                titles.pop()
        section = tuple(title for _, title in titles)
        blocks.append(Block(kind, position, position + len(text), page, section))
        if kind == "title":
            titles.append((piece.level, text))
        parts.append(text)
        position += len(text) + len(_BETWEEN_BLOCKS)
    return _BETWEEN_BLOCKS.join(parts), blocks


def _text_of(piece: Piece) -> str:
    """Normalise; lines are kept only where they carry meaning."""
    text = normalise(piece.text)
    return text if piece.kind in ("table", "code") else " ".join(text.split())
