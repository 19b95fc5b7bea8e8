"""The normalised text of an ingested document, as it stands in the byte store.

JSON: `{"text", "blocks": [[kind, start, end, page, section], …], "language", "pages", "mime"}`.
The offsets of passages and blocks count characters of `text`.
"""

import json
from typing import Final

from ingestion.passages import Block, ParsedDocument

__all__ = ["dump_document", "parse_document", "text_key", "text_keys"]

_BEFORE_PROJECTS: Final = "text/{number}.json"


def text_key(project_id: str, number: int) -> str:
    """Key in the byte store; `number` is `VectorStoreFile.number`."""
    return f"{project_id}/text/{number}.json"


def text_keys(project_id: str, number: int) -> tuple[str, ...]:
    """Every key under which it may stand: Everloop wrote another one before it had projects."""
    return text_key(project_id, number), _BEFORE_PROJECTS.format(number=number)


def dump_document(document: ParsedDocument) -> bytes:
    """Return the document as UTF-8 JSON; `parse_document` reads it back."""
    blocks = [
        (block.kind, block.start, block.end, block.page, block.section) for block in document.blocks
    ]
    body = {
        "text": document.text,
        "blocks": blocks,
        "language": document.language,
        "pages": document.pages,
        "mime": document.mime,
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(
        errors="surrogatepass"
    )


def parse_document(data: bytes) -> ParsedDocument:
    """Return the document that `dump_document` wrote."""
    body = json.loads(data.decode(errors="surrogatepass"))
    return ParsedDocument(
        text=body["text"],
        blocks=tuple(
            Block(kind, start, end, page, tuple(section))
            for kind, start, end, page, section in body["blocks"]
        ),
        language=body["language"],
        pages=body["pages"],
        mime=body["mime"],
    )
