"""Lines of type as pdfminer found them on a page, and the words in them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ingestion.normalise import normalise

if TYPE_CHECKING:
    from pdfminer.layout import LTChar, LTPage, LTTextLine

__all__ = ["Line", "Word", "baselines", "page_lines", "text_of"]

_MARGIN = 0.08
"""The part of the page's height, at the top and at the bottom, where running heads stand."""
_SAME_LINE = 0.35
"""Of the type size: middles of words nearer than this stand on one line."""
_BOLD = ("Bold", "Black", "Heavy", "-BX", "CMBX")


class Word(NamedTuple):
    """Characters without space between them. Points from the lower left corner of the page."""

    text: str
    x0: float
    y0: float
    x1: float
    y1: float
    size: float
    line: int
    """The number of its line on the page."""
    upright: bool

    @property
    def x(self) -> float:
        """Its middle, from left to right."""
        return (self.x0 + self.x1) / 2

    @property
    def y(self) -> float:
        """Its middle, from bottom to top."""
        return (self.y0 + self.y1) / 2


@dataclass(frozen=True, slots=True)
class Line:
    """A line of type, or what is left of it where a table took a part."""

    text: str
    page: int
    box: int
    """The number of its text box (paragraph), over the whole document."""
    size: float
    bold: bool
    in_margin: bool
    length: int
    """Characters of the whole line."""


def page_lines(page: "LTPage", number: int, box: int) -> tuple[list[Line], list[Word]]:
    """Return the lines of a page in reading order, and their words.

    The page's text boxes are numbered from `box`.
    """
    from pdfminer.layout import LTTextBox, LTTextLine

    lines: list[Line] = []
    words: list[Word] = []
    boxes: list[LTTextBox] = [item for item in page if isinstance(item, LTTextBox)]
    for text_box in boxes:
        in_margin = _is_margin((text_box.y0 + text_box.y1) / 2, page)
        for line in text_box:
            if isinstance(line, LTTextLine) and (text := line.get_text()).strip():
                found, size, bold = _read(line, len(lines))
                words += found
                lines.append(Line(text, number, box, size, bold, in_margin, len(text)))
        box += 1
    return lines, words


def baselines(words: Sequence[Word]) -> list[list[Word]]:
    """Return words by the line that they stand on, whatever is between them, from the top."""
    lines: list[list[Word]] = []
    for word in sorted(words, key=lambda word: -word.y):
        if lines and lines[-1][0].y - word.y <= _SAME_LINE * word.size:
            lines[-1].append(word)
        else:
            lines.append([word])
    return [sorted(line, key=lambda word: word.x0) for line in lines]


def text_of(words: Sequence[Word]) -> str:
    """Return words as normalised text, from the top, what is hyphenated joined."""
    parts: dict[int, list[str]] = {}
    first: list[Word] = []
    for word in words:
        if word.line not in parts:
            first.append(word)
        parts.setdefault(word.line, []).append(word.text)
    lines = (
        " ".join(text for word in line for text in parts[word.line]) for line in baselines(first)
    )
    return normalise("\n".join(lines))


def _is_margin(height: float, page: "LTPage") -> bool:
    part = height / (page.height or 1)
    return part < _MARGIN or part > 1 - _MARGIN


def _read(line: "LTTextLine", number: int) -> tuple[list[Word], float, bool]:
    """Return a line's words, its commonest type size, and whether most of it is bold."""
    from pdfminer.layout import LTChar

    words: list[list[LTChar]] = [[]]
    for item in line:
        if isinstance(item, LTChar) and not item.get_text().isspace():
            words[-1].append(item)
        elif words[-1]:
            words.append([])
    if not words[-1]:
        words.pop()
    characters = [character for word in words for character in word]
    if not characters:
        return [], 0.0, False
    sizes: Counter[float] = Counter()
    for size, times in Counter([character.size for character in characters]).items():
        sizes[round(size, 1)] += times
    fonts = Counter([character.fontname for character in characters])
    bold = sum(times for font, times in fonts.items() if any(each in font for each in _BOLD))
    commonest = sizes.most_common(1)[0][0]
    found = [word for word in (_word(each, number) for each in words) if word.text]
    return found, commonest, bold > 0.8 * len(characters)


def _word(characters: "Sequence[LTChar]", line: int) -> Word:
    first, last = characters[0], characters[-1]
    return Word(
        "".join([character.get_text() for character in characters]),
        min(first.x0, last.x0),
        first.y0,
        max(first.x1, last.x1),
        first.y1,
        first.size,
        line,
        first.upright,
    )
