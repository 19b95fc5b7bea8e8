"""Plain text: paragraphs, list items and what stands like a heading."""

import re
from collections.abc import Iterator

from ingestion.loaders.elements import pieces_of
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tagging import prepare_unstructured
from ingestion.normalise import normalise

__all__ = ["text_pieces"]

_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_ITEM = re.compile(r"\s*(?:[-*•‣▪–]\s|\d{1,3}[.)]\s)")
_LONGEST_WRAPPED = 120
"""Lines above this were not broken to fit a page: each is a paragraph of its own."""
_SHORT = 0.6
"""A line this much shorter than its paragraph's longest ends the paragraph."""


def text_pieces(text: str) -> Iterator[Piece]:
    """Yield the paragraphs of a plain text."""
    prepare_unstructured()
    from unstructured.partition.text import partition_text

    one_a_line = "\n".join(_paragraphs(text.replace("\r\n", "\n").replace("\r", "\n")))
    return pieces_of(partition_text(text=one_a_line, paragraph_grouper=False, languages=[""]))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield paragraphs, each on one line, words that were broken at a line's end joined."""
    for block in _BLANK_LINES.split(text):
        lines = [line for line in block.split("\n") if line.strip()]
        longest = max(map(len, lines), default=0)
        paragraph = ""
        for line in lines:
            if paragraph and (_ITEM.match(line) or longest > _LONGEST_WRAPPED):
                yield _joined(paragraph)
                paragraph = ""
            paragraph += f"{line}\n"
            if len(line) < longest * _SHORT:
                yield _joined(paragraph)
                paragraph = ""
        if paragraph:
            yield _joined(paragraph)


def _joined(paragraph: str) -> str:
    return " ".join(normalise(paragraph).split())
