"""From passages to a test set: draft, filter, search, keep."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from deployments.evaluation.synthesis.drafts import Draft, Method, SourceText
from deployments.evaluation.synthesis.extraction import drafts_by_rules
from deployments.evaluation.synthesis.filters import (
    NOT_FOUND,
    Kept,
    first_objection,
    found_within,
)
from deployments.evaluation.synthesis.receipt import Receipt

__all__ = ["Search", "Writer", "synthesize_drafts"]

_BATCH: Final = 8
_PER_PASSAGE: Final = 12
"""Drafts that rules may make of one passage: a table has hundreds."""

Search = Callable[[str], Sequence[str]]
"""Names of the documents that are found for a question, best first."""


class Writer(Protocol):
    """A model that writes questions."""

    def write(self, sources: Sequence[SourceText]) -> list[Draft | None]:
        """A draft per passage, or None."""
        ...


def synthesize_drafts(
    sources: Sequence[SourceText],
    methods: Sequence[Method],
    writer: Writer | None,
    search: Search,
    receipt: Receipt,
    kept: Callable[[Draft], None],
) -> None:
    """Take one draft of each passage in turn, then a second, …, until as many as wanted are kept.

    `kept` is told of each at once. Each passage is asked of the model once.
    """
    taken: list[Kept] = []
    waiting: list[tuple[SourceText, Iterator[Draft]]] = []

    def take(drafts: Iterator[Draft]) -> bool:
        """Keep the first good draft; whether there was one."""
        for draft in drafts:
            objection = first_objection(draft, taken)
            if objection is None:
                documents = search(draft.question)
                found = found_within(draft, documents, receipt.found_within)
                objection = None if found else NOT_FOUND
            receipt.note(draft, objection)
            if objection is None:
                taken.append(Kept.of(draft.question))
                kept(draft)
                return True
        return False

    for batch in _batches(sources):
        written = writer.write(batch) if writer is not None else [None] * len(batch)
        for source, first in zip(batch, written, strict=True):
            drafts = _drafts(source, methods, first)
            if take(drafts):
                waiting.append((source, drafts))
            if receipt.kept.total() >= receipt.wanted:
                return
    while waiting:
        waiting = _next_round(waiting, take, receipt)


def _next_round(
    waiting: list[tuple[SourceText, Iterator[Draft]]],
    take: Callable[[Iterator[Draft]], bool],
    receipt: Receipt,
) -> list[tuple[SourceText, Iterator[Draft]]]:
    again = []
    for source, drafts in waiting:
        if receipt.kept.total() >= receipt.wanted:
            return []
        if take(drafts):
            again.append((source, drafts))
    return again


def _drafts(
    source: SourceText, methods: Sequence[Method], written: Draft | None
) -> Iterator[Draft]:
    if written is not None:
        yield written
    count = 0
    for method in methods:
        if method == "model":
            continue
        for draft in drafts_by_rules(source, method):
            if count == _PER_PASSAGE:
                return
            count += 1
            yield draft


def _batches(sources: Sequence[SourceText]) -> Iterator[Sequence[SourceText]]:
    return (sources[start : start + _BATCH] for start in range(0, len(sources), _BATCH))
