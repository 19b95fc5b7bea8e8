"""HTML and Markdown."""

import re
from collections.abc import Iterator

from ingestion.loaders.elements import pieces_of
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tagging import prepare_unstructured

__all__ = ["html_pieces", "markdown_pieces"]

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(?P<body>.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ENCODING_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")


def html_pieces(text: str) -> Iterator[Piece]:
    """Yield the content of an HTML page in reading order; only headings are titles."""
    prepare_unstructured()
    from unstructured.partition.html import partition_html

    # lxml refuses a str that declares an encoding.
    elements = partition_html(text=_ENCODING_DECLARATION.sub("", text), languages=[""])
    return pieces_of(elements, titles=False)


def markdown_pieces(text: str) -> Iterator[Piece]:
    """Yield the content of a Markdown file; YAML front matter is kept as a table of settings."""
    prepare_unstructured()
    from unstructured.partition.md import partition_md

    if front := _FRONT_MATTER.match(text):
        yield Piece("table", front["body"])
        text = text[front.end() :]
    if text.strip():
        extensions = ["tables", "fenced_code", "sane_lists"]
        elements = partition_md(text=text, languages=[""], extensions=extensions)
        yield from pieces_of(elements, titles=False)
