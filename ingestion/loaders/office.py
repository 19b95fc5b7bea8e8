"""Word, PowerPoint and Excel files."""

import io
from collections.abc import Iterator

from ingestion.loaders.elements import pieces_of
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tables import html_rows, table_pieces
from ingestion.loaders.tagging import prepare_unstructured

__all__ = ["docx_pieces", "pptx_pieces", "xlsx_pieces"]

_NO_DETECTION = [""]
"""Tells `unstructured` not to detect languages: that is done once, on the whole text."""


def docx_pieces(data: bytes) -> Iterator[Piece]:
    """Yield the paragraphs, headings and table rows of a Word file."""
    prepare_unstructured()
    from unstructured.partition.docx import partition_docx

    # Page numbers in a DOCX are rendering hints, wrong more often than right: not kept.
    elements = partition_docx(
        file=io.BytesIO(data), languages=_NO_DETECTION, starting_page_number=1
    )
    for piece in pieces_of(elements):
        yield Piece(piece.kind, piece.text, None, piece.level)


def pptx_pieces(data: bytes) -> Iterator[Piece]:
    """Yield the texts of a presentation; `page` is the slide. Speaker notes are included."""
    prepare_unstructured()
    from unstructured.partition.pptx import partition_pptx

    elements = partition_pptx(
        file=io.BytesIO(data), languages=_NO_DETECTION, include_slide_notes=True
    )
    return pieces_of(elements)


def xlsx_pieces(data: bytes) -> Iterator[Piece]:
    """Yield the rows of a workbook; `page` is the sheet, whose name is its title."""
    prepare_unstructured()
    from unstructured.partition.xlsx import partition_xlsx

    sheets = partition_xlsx(
        file=io.BytesIO(data), languages=_NO_DETECTION, find_subtable=False, include_header=False
    )
    for sheet in sheets:
        page = sheet.metadata.page_number
        rows = html_rows(sheet.metadata.text_as_html or "<table></table>")
        if any(cell.strip() for row in rows for cell in row):
            yield Piece("title", str(sheet.metadata.page_name), page)
            yield from table_pieces(rows, page)
