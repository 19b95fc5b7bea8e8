"""The way in: bytes and a name to a parsed document."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ingestion.errors import DocumentError
from ingestion.language import detect_language
from ingestion.loaders.archives import ArchiveBudget
from ingestion.loaders.encodings import decode
from ingestion.loaders.formats import Format, identify
from ingestion.loaders.limits import DocumentLimits
from ingestion.loaders.pieces import Piece, assemble
from ingestion.passages import ParsedDocument

__all__ = ["load_document"]

_ZIPPED = frozenset({Format.DOCX, Format.PPTX, Format.XLSX, Format.EPUB})
_PAGE_IS_SECTION = frozenset({Format.PPTX, Format.XLSX})
_LIMITS = DocumentLimits()


def load_document(
    data: bytes | Path, filename: str, limits: DocumentLimits = _LIMITS
) -> ParsedDocument:
    """Parse a document into normalised text, blocks, pages and language.

    `filename` gives the expected format by its extension; the bytes must agree. Raises
    `DocumentError` with a reason for a person and a `code` for a program: empty, encrypted, cut
    short, mislabelled, of an unknown kind, without text. It may run for long: call it in a thread
    or process that has a deadline.
    """
    content = data.read_bytes() if isinstance(data, Path) else data
    kind = identify(content, filename)
    if kind in _ZIPPED:
        ArchiveBudget(limits).check(content, filename)
    try:
        return _parsed(kind, content, filename, limits)
    except DocumentError:
        raise
    except Exception as error:  # parsers of a dozen libraries meet hostile bytes here
        raise DocumentError(
            f"{filename!r} cannot be parsed as {kind.name}: its content is not as the format says "
            f"({type(error).__name__}).",
            fix="It may be damaged: open it and save it anew.",
        ) from error


def _parsed(kind: Format, data: bytes, filename: str, limits: DocumentLimits) -> ParsedDocument:
    pieces = list(_bounded(_pieces(kind, data, filename, limits), filename, limits))
    text, blocks = assemble(pieces, page_is_section=kind in _PAGE_IS_SECTION)
    if not any(map(str.isalnum, text)):
        raise DocumentError(f"{filename!r} has no text that can be extracted.")
    return ParsedDocument(
        text=text,
        blocks=tuple(blocks),
        language=detect_language(text),
        pages=max((block.page for block in blocks if block.page), default=None),
        mime=kind.value,
    )


def _bounded(pieces: Iterable[Piece], filename: str, limits: DocumentLimits) -> Iterator[Piece]:
    characters = 0
    for piece in pieces:
        characters += len(piece.text)
        if characters > limits.characters:
            raise DocumentError(
                f"{filename!r} has more than the {limits.characters} characters allowed.",
                fix="Split it, or raise `ingestion.max_characters`.",
            )
        if (piece.page or 0) > limits.pages:
            raise DocumentError(
                f"{filename!r} has more than the {limits.pages} pages allowed.",
                fix="Split it, or raise `ingestion.max_pages`.",
            )
        yield piece


def _pieces(kind: Format, data: bytes, filename: str, limits: DocumentLimits) -> Iterable[Piece]:
    from ingestion.loaders import epub, mail, markup, notion, office, pdf, plain, records

    match kind:
        case Format.PDF:
            return pdf.pdf_pieces(data, filename, limits.pages)
        case Format.DOCX:
            return office.docx_pieces(data)
        case Format.PPTX:
            return office.pptx_pieces(data)
        case Format.XLSX:
            return office.xlsx_pieces(data)
        case Format.EPUB:
            return epub.epub_pieces(data)
        case Format.NOTION:
            return notion.notion_pieces(data, filename, limits)
        case Format.EMAIL:
            return mail.email_pieces(data)
        case Format.HTML:
            return markup.html_pieces(decode(data))
        case Format.MARKDOWN:
            return markup.markdown_pieces(decode(data))
        case Format.CSV:
            return records.csv_pieces(decode(data))
        case Format.TSV:
            return records.csv_pieces(decode(data), delimiter="\t")
        case Format.JSON:
            return records.json_pieces(decode(data))
        case Format.JSONL:
            return records.jsonl_pieces(decode(data))
        case Format.TEXT:
            return plain.text_pieces(decode(data))
