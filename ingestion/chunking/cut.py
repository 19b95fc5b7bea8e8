"""A parsed document to chunks, by the strategy asked for."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ingestion.chunking.packing import by_section, pack, structural_groups
from ingestion.chunking.semantic import Embed, semantic_breakpoints, windows_of
from ingestion.chunking.strategy import (
    AutoStrategy,
    ByTitleStrategy,
    ChunkingStrategy,
    SemanticStrategy,
    SentenceStrategy,
    StaticStrategy,
)
from ingestion.chunking.units import (
    Unit,
    block_at,
    token_spans,
    units_of,
    untruncated,
    word_boundary,
)
from ingestion.passages import Chunk, ParsedDocument

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["chunk_document"]


def chunk_document(
    document: ParsedDocument,
    strategy: ChunkingStrategy,
    tokenizer: "Tokenizer",
    embed: Embed | None = None,
) -> list[Chunk]:
    """Cut `document` into chunks, each `document.text[start:end]` with page and section.

    Tokens are counted by `tokenizer`, without special tokens, as the sum over sentences; one that
    truncates or pads is copied first, so pass one that does not where documents are many. `embed`
    is needed for the semantic strategy only.
    """
    tokenizer = untruncated(tokenizer)
    if isinstance(strategy, StaticStrategy):
        return list(_static(document, strategy, tokenizer))
    units = units_of(document, tokenizer, strategy.max_chunk_size_tokens)
    return _chunks(document, _runs(document, units, strategy, embed))


def _runs(
    document: ParsedDocument,
    units: list[Unit],
    strategy: AutoStrategy | SentenceStrategy | ByTitleStrategy | SemanticStrategy,
    embed: Embed | None,
) -> Iterator[list[Unit]]:
    most = strategy.max_chunk_size_tokens
    match strategy:
        case AutoStrategy():
            for group in structural_groups(units, document.text, most):
                yield from pack(group, most, strategy.chunk_overlap_tokens, even=True)
        case SentenceStrategy():
            yield from pack(units, most, strategy.chunk_overlap_tokens)
        case ByTitleStrategy():
            for group in by_section(units):
                yield from pack(group, most, strategy.chunk_overlap_tokens, even=True)
        case SemanticStrategy():
            for group in _semantic_groups(document, units, strategy, embed):
                yield from pack(group, most, 0, even=True)


def _semantic_groups(
    document: ParsedDocument, units: list[Unit], strategy: SemanticStrategy, embed: Embed | None
) -> Iterator[list[Unit]]:
    if embed is None:
        raise ValueError("The semantic strategy needs `embed`.")
    if not units:
        return
    sentences = [document.text[unit.start : unit.end] for unit in units]
    vectors = embed(windows_of(sentences))
    cuts = [0, *semantic_breakpoints(vectors, strategy.breakpoint_percentile), len(units)]
    for low, high in itertools.pairwise(cuts):
        yield units[low:high]


def _chunks(document: ParsedDocument, runs: Iterable[Sequence[Unit]]) -> list[Chunk]:
    chunks = []
    for ordinal, run in enumerate(runs):
        start, end = run[0].start, run[-1].end
        pages = [unit.page for unit in run if unit.page is not None]
        chunks.append(
            Chunk(
                ordinal=ordinal,
                text=document.text[start:end],
                start=start,
                end=end,
                tokens=sum(unit.tokens for unit in run),
                page=min(pages, default=None),
                page_end=max(pages, default=None),
                section=_shared_section(run),
            )
        )
    return chunks


def _shared_section(run: Sequence[Unit]) -> tuple[str, ...]:
    """Return the path of the run's content: what its parts share, or the first part's."""
    sections = [unit.section for unit in run if unit.kind != "title"] or [run[-1].section]
    shared = sections[0]
    for section in sections[1:]:
        length = 0
        while length < min(len(shared), len(section)) and shared[length] == section[length]:
            length += 1
        shared = shared[:length]
    return shared or sections[0]


def _static(
    document: ParsedDocument, strategy: StaticStrategy, tokenizer: "Tokenizer"
) -> Iterator[Chunk]:
    """Yield windows over the token stream, as OpenAI's static strategy does."""
    text = document.text
    tokens = token_spans(document, tokenizer)
    starts = [block.start for block in document.blocks]
    low = ordinal = 0
    while low < len(tokens):
        high = word_boundary(text, tokens, low, low + strategy.max_chunk_size_tokens)
        high = min(high, len(tokens))
        window = text[tokens[low][0] : tokens[high - 1][1]]
        start = tokens[low][0] + len(window) - len(window.lstrip())
        end = start + len(window.strip())
        if start < end:
            first, last = block_at(document, starts, start), block_at(document, starts, end - 1)
            title = (text[first.start : first.end],) if first.kind == "title" else ()
            yield Chunk(
                ordinal,
                text[start:end],
                start,
                end,
                tokens=high - low,
                page=first.page,
                page_end=last.page,
                section=first.section + title,
            )
            ordinal += 1
        if high == len(tokens):
            return
        back = high - strategy.chunk_overlap_tokens
        low = max(low + 1, word_boundary(text, tokens, low, back))
