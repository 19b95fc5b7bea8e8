"""The elements of `unstructured` as pieces."""

from collections.abc import Iterable, Iterator
from typing import Any

from ingestion.loaders.pieces import Piece
from ingestion.loaders.tables import html_rows, table_pieces
from ingestion.passages import BlockKind

__all__ = ["pieces_of"]

_KINDS: dict[str, BlockKind] = {"ListItem": "list", "CodeSnippet": "code"}
_NO_CONTENT = frozenset({"PageBreak", "Image"})


def pieces_of(elements: Iterable[Any], *, titles: bool = True) -> Iterator[Piece]:
    """Yield the pieces of `unstructured` elements.

    With `titles` false a title counts only where the document itself marks it as a heading (it has
    a depth), not where its words look like one.
    """
    for element in elements:
        category = type(element).__name__
        metadata = element.metadata
        page: int | None = metadata.page_number
        if category in _NO_CONTENT:
            continue
        if metadata.text_as_html and category == "Table":
            yield from table_pieces(html_rows(metadata.text_as_html), page)
        elif category == "Title" and (titles or metadata.category_depth is not None):
            yield Piece("title", element.text, page, level=metadata.category_depth or 0)
        else:
            yield Piece(_KINDS.get(category, "text"), element.text, page)
