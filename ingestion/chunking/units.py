"""A document as units that are not cut further: sentences and rows, with their tokens."""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingestion.passages import Block, BlockKind, ParsedDocument
from ingestion.sentences import sentence_spans

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

__all__ = ["Unit", "block_at", "token_spans", "units_of", "untruncated", "word_boundary"]

_BATCH = 512
_WHOLE_KINDS = frozenset({"table", "code"})
_WHOLE_CHARACTERS = 800
"""A row or code block up to here is one unit; a longer one is cut between sentences or lines."""
_MOST_CHARACTERS = 16
"""Characters that a token stands for at most, on average over a sentence."""
_SNAP_TOKENS = 16
"""How far back a cut inside a sentence looks for the space before a word."""


@dataclass(frozen=True, slots=True)
class Unit:
    """`text[start:end]` and the block that it stands in."""

    start: int
    end: int
    tokens: int
    kind: BlockKind
    page: int | None
    in_record: int | None
    """The start of the long table row or record that it is a part of; None elsewhere."""
    section: tuple[str, ...]
    """Titles above, for a title with itself: what stands under one title shares one path."""


def units_of(document: ParsedDocument, tokenizer: "Tokenizer", most_tokens: int) -> list[Unit]:
    """Return the document's sentences, rows and titles in order, none above `most_tokens`.

    Text is tokenised once, in batches; a longer sentence is cut at the space before a word.
    """
    units: list[Unit] = []
    for block, span, encoding in _encoded(document, tokenizer):
        if _is_usual(span, len(encoding)) and len(encoding) <= most_tokens:
            unit = _unit(document, block, *span, len(encoding))
            if unit.start < unit.end:
                units.append(unit)
            continue
        tokens = _token_spans(span, encoding)
        for low, high in _windows(document.text, tokens, most_tokens):
            unit = _unit(document, block, tokens[low][0], tokens[high - 1][1], high - low)
            if unit.start < unit.end:
                units.append(unit)
    return units


def token_spans(document: ParsedDocument, tokenizer: "Tokenizer") -> list[tuple[int, int]]:
    """Return the `(start, end)` of every token in the document's text."""
    return [
        token
        for _, span, encoding in _encoded(document, tokenizer)
        for token in _token_spans(span, encoding)
    ]


def _encoded(
    document: ParsedDocument, tokenizer: "Tokenizer"
) -> Iterator[tuple[Block, tuple[int, int], "Encoding"]]:
    spans = [(block, span) for block in document.blocks for span in _spans(document, block)]
    for first in range(0, len(spans), _BATCH):
        batch = spans[first : first + _BATCH]
        texts = [document.text[start:end] for _, (start, end) in batch]
        encodings = tokenizer.encode_batch(texts, add_special_tokens=False)
        for (block, span), encoding in zip(batch, encodings, strict=True):
            yield block, span, encoding


def _is_usual(span: tuple[int, int], tokens: int) -> bool:
    return span[1] - span[0] <= max(tokens, 8) * _MOST_CHARACTERS


def _token_spans(span: tuple[int, int], encoding: "Encoding") -> list[tuple[int, int]]:
    """Return the tokens' spans in the document.

    A tokenizer may give one unknown token for a long run without a space; it counts as several.
    """
    start = span[0]
    tokens = [(start + a, start + b) for a, b in encoding.offsets]
    if _is_usual(span, len(tokens)):
        return tokens
    return [
        (at, min(at + _MOST_CHARACTERS, b))
        for a, b in tokens
        for at in range(a, b, _MOST_CHARACTERS)
    ]


def untruncated(tokenizer: "Tokenizer") -> "Tokenizer":
    """Return a tokenizer that neither cuts nor pads: this one, or a copy where it does."""
    if tokenizer.truncation is None and tokenizer.padding is None:
        return tokenizer
    copy = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy


def word_boundary(text: str, tokens: list[tuple[int, int]], low: int, high: int) -> int:
    """Return the last index in `(low, high]` that starts a word, `high` where none is near."""
    if high >= len(tokens):
        return high
    for index in range(high, max(low, high - _SNAP_TOKENS), -1):
        start = tokens[index][0]
        if text[start : start + 1].isspace() or text[start - 1 : start].isspace():
            return index
    return high


def _windows(text: str, tokens: list[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    low = 0
    while low < len(tokens):
        high = word_boundary(text, tokens, low, min(low + most, len(tokens)))
        # Tokens of one character (bytes of an emoji) share its span: they stay together.
        while low < high < len(tokens) and tokens[high][0] < tokens[high - 1][1]:
            high += 1
        yield low, high
        low = high


def _spans(document: ParsedDocument, block: Block) -> list[tuple[int, int]]:
    if block.kind == "title" or (block.kind in _WHOLE_KINDS and not _is_long(block)):
        return [(block.start, block.end)]
    text = document.text[block.start : block.end]
    if block.kind == "code":
        lines = text.splitlines(keepends=True)
        ends = list(itertools.accumulate(map(len, lines), initial=block.start))
        return list(itertools.pairwise(ends))
    return [(block.start + start, block.start + end) for start, end in sentence_spans(text)]


def _is_long(block: Block) -> bool:
    return block.end - block.start > _WHOLE_CHARACTERS


def _unit(document: ParsedDocument, block: Block, start: int, end: int, tokens: int) -> Unit:
    section = block.section
    if block.kind == "title":
        section = (*section, document.text[block.start : block.end])
    while start < end and document.text[start].isspace():
        start += 1
    while end > start and document.text[end - 1].isspace():
        end -= 1
    in_record = block.start if block.kind == "table" and _is_long(block) else None
    return Unit(start, end, tokens, block.kind, block.page, in_record, section)


def block_at(document: ParsedDocument, starts: list[int], position: int) -> Block:
    """Return the block that `position` lies in; `starts` are the starts of all blocks."""
    return document.blocks[max(0, bisect.bisect_right(starts, position) - 1)]
