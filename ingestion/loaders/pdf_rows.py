"""What stands on one line of a page, parted where the white space is wide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ingestion.loaders.pdf_lines import Word, baselines

__all__ = ["FINE_GAP", "GAP", "NEAR", "Row", "Segment", "column_starts", "rows_of"]

GAP = 0.9
"""Of the type size: words further apart stand in different columns. Justified text stays below."""
FINE_GAP = 0.45
"""The same between rules, where the columns have to be parted in every row."""
NEAR = 0.35
"""Of the type size: ends no further apart are aligned."""
_CURRENCIES = frozenset("$€£¥")
"""They may stand at the left of a column and their amount at its right."""
_AMOUNT = frozenset("0123456789(-−–.")


@dataclass(frozen=True)
class Segment:
    """Words of a line that no wide gap parts."""

    words: tuple[Word, ...]

    @cached_property
    def x0(self) -> float:
        """The left end."""
        return self.words[0].x0

    @cached_property
    def x1(self) -> float:
        """The right end."""
        return max(word.x1 for word in self.words)

    @cached_property
    def text(self) -> str:
        """The words."""
        return " ".join(word.text for word in self.words)

    @property
    def size(self) -> float:
        """The type size."""
        return self.words[0].size


@dataclass
class Row:
    """The segments on a line; under it, lines that may go on with its cells."""

    segments: list[Segment]
    more: list[Segment] = field(default_factory=list)

    @property
    def size(self) -> float:
        """The type size of its first segment."""
        return self.segments[0].size

    @property
    def y(self) -> float:
        """The height of the line."""
        return self.segments[0].words[0].y

    @property
    def foot(self) -> float:
        """The height of the last of the lines."""
        return [*self.everything()][-1].words[0].y

    def everything(self) -> Iterator[Segment]:
        """Yield the segments of the line and of those under it."""
        yield from self.segments
        yield from self.more


def rows_of(words: Sequence[Word], gap: float = GAP) -> list[Row]:
    """Return words row by row from the top, parted where more than `gap` is between them.

    Words that do not stand upright are left out.
    """
    rows = []
    for line in baselines([word for word in words if word.upright and word.size > 0]):
        segments: list[list[Word]] = []
        for word in line:
            if segments and _belong(segments[-1][-1], word, gap):
                segments[-1].append(word)
            else:
                segments.append([word])
        rows.append(Row([Segment(tuple(segment)) for segment in segments]))
    return rows


def _belong(before: Word, word: Word, gap: float) -> bool:
    amount = before.text in _CURRENCIES and word.text[0] in _AMOUNT
    return amount or word.x0 - before.x1 <= gap * word.size


def column_starts(rows: Sequence[Row]) -> list[float]:
    """Return the left ends of the columns, which white space parts in every row.

    Rows of one segment do not count: it may be a remark to the rows under it.
    """
    several = [row for row in rows if len(row.segments) > 1]
    everything = [segment for row in several for segment in row.everything()]
    starts: list[float] = []
    end = float("-inf")
    for segment in sorted(everything, key=lambda segment: segment.x0):
        if segment.x0 > end + NEAR * segment.size:
            starts.append(segment.x0)
        end = max(end, segment.x1)
    return starts
