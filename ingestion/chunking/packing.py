"""Units packed into passages of a bounded number of tokens."""

import math
from collections.abc import Iterator, Sequence

from ingestion.chunking.units import Unit

__all__ = ["by_section", "pack", "structural_groups"]

_TINY_TOKENS = 40
"""A section below this may share a passage with its neighbour on the same page."""
_SENTENCE_END = (".", "!", "?", "。", "！", "？", ":", "؟", "।", '"', "”", ")", "…")


def pack(units: Sequence[Unit], most: int, overlap: int, *, even: bool = False) -> list[list[Unit]]:
    """Return runs of at most `most` tokens, each starting with the end of the one before.

    The repeated end is whole sentences of at most `overlap` tokens; rows, titles and code are not
    repeated. With `even`, runs get about one size instead of a short last one.
    """
    aim = _even_size(units, most) if even else most
    runs: list[list[Unit]] = []
    run: list[Unit] = []
    size = fresh = 0
    for unit in units:
        if run and fresh and (size + unit.tokens > most or size >= aim):
            runs.append(run)
            run = _repeated(run, min(overlap, most - unit.tokens))
            size, fresh = sum(old.tokens for old in run), 0
        run.append(unit)
        size += unit.tokens
        fresh += 1
    if fresh:
        runs.append(run)
    return runs


def by_section(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Yield runs of units under one title; a bare title goes with what follows it."""
    group: list[Unit] = []
    for unit in units:
        if group and unit.section != group[-1].section and not _only_titles(group):
            yield group
            group = []
        group.append(unit)
    if group:
        yield group


def structural_groups(units: Sequence[Unit], text: str, most: int) -> list[list[Unit]]:
    """Return runs of units that belong together: one section of one page, or one long record.

    A sentence that runs over the page's end joins the pages; a tiny section joins its neighbour of
    the same page.
    """
    groups: list[list[Unit]] = []
    for group in _by_page_and_section(units, text):
        if groups and _may_join(groups[-1], group, most):
            groups[-1].extend(group)
        else:
            groups.append(group)
    return groups


def _by_page_and_section(units: Sequence[Unit], text: str) -> Iterator[list[Unit]]:
    for section in by_section(units):
        group: list[Unit] = []
        for unit in section:
            if group and not _only_titles(group) and _parts(group[-1], unit, text):
                yield group
                group = []
            group.append(unit)
        yield group


def _parts(before: Unit, unit: Unit, text: str) -> bool:
    """Tell whether a page ends or a long record starts or ends between two units."""
    if unit.page != before.page:
        return not _runs_on(before, unit, text)
    return unit.in_record != before.in_record


def _runs_on(before: Unit, unit: Unit, text: str) -> bool:
    ends = text[before.start : before.end].endswith(_SENTENCE_END)
    return not ends and before.kind == unit.kind == "text" and text[unit.start].islower()


def _may_join(before: list[Unit], group: list[Unit], most: int) -> bool:
    if before[-1].page != group[0].page:
        return False
    sizes = _size(before), _size(group)
    return min(sizes) < _TINY_TOKENS and sum(sizes) <= most


def _only_titles(group: Sequence[Unit]) -> bool:
    return all(unit.kind == "title" for unit in group)


def _size(units: Sequence[Unit]) -> int:
    return sum(unit.tokens for unit in units)


def _even_size(units: Sequence[Unit], most: int) -> int:
    size = _size(units)
    return math.ceil(size / math.ceil(size / most)) if size else most


def _repeated(run: Sequence[Unit], overlap: int) -> list[Unit]:
    repeated: list[Unit] = []
    size = 0
    for unit in reversed(run):
        size += unit.tokens
        if unit.kind not in ("text", "list") or size > overlap or len(repeated) + 1 == len(run):
            break
        repeated.insert(0, unit)
    return repeated
