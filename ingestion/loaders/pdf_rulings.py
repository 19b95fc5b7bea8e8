"""Ruling lines of a PDF's page: the cells between them, and stacks of rules without verticals.

pdfplumber joins the strokes and finds the cells; it is given pdfminer's layout, which is read
anyway, so that a page is interpreted once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdfminer.layout import LTCurve, LTPage

__all__ = ["Cell", "Grid", "Rulings", "Stack", "rulings"]

_MOST_STROKES = 4000
"""Above it a page is a drawing or a map. 60 rows of 15 cells, each with four borders, have 3600."""
_MOST_CROSSINGS = 2000
_MOST_PAIRS = 200_000
_MOST_RULES = 200
"""In a stack; hatching has more."""
_THIN = 3.0
"""Points. A rectangle thinner than this is a stroke, and strokes this near are one."""
_SAME_END = 6.0
"""Points. Rules that end this near have one length."""
_STRAIGHT = 0.5
_SHORTEST = 5.0

_Edge = dict[str, Any]
"""As pdfplumber has them: `top` and `bottom` grow downwards, here from the upper page border."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The rows and columns that a cell takes, the ends not included."""

    row: int
    row_end: int
    column: int
    column_end: int


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells that touch. `xs` go right and `ys` go down (in the page's points): the rulings."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Stack:
    """Horizontal rules of one length, one under the other; `ys` go down."""

    x0: float
    x1: float
    ys: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rulings:
    """What the ruling lines of a page enclose: small grids first, stacks of many rules first."""

    grids: tuple[Grid, ...] = ()
    stacks: tuple[Stack, ...] = ()


def rulings(page: "LTPage") -> Rulings:
    """Return the grids and stacks of a page; none where it has more strokes than tables have."""
    from pdfminer.layout import LTCurve

    strokes = [item for item in page if isinstance(item, LTCurve) and _is_on(page, item)]
    if not 3 <= len(strokes) <= _MOST_STROKES:
        return Rulings()
    edges = [edge for stroke in strokes for edge in _edges(stroke, page.height)]
    if len(edges) > 4 * _MOST_STROKES:
        return Rulings()
    across, down = _merged(edges)
    if len(across) * len(down) > _MOST_PAIRS:
        return Rulings()
    grids = [
        grid for group in _groups(across, down) for grid in _grids(_closed(*group), page.height)
    ]
    grids.sort(key=lambda grid: (grid.xs[-1] - grid.xs[0]) * (grid.ys[0] - grid.ys[-1]))
    stacks = sorted(_stacks(across, page.height), key=lambda stack: -len(stack.ys))
    return Rulings(tuple(grids), tuple(stacks))


def _is_on(page: "LTPage", stroke: "LTCurve") -> bool:
    """Tell whether no end of a stroke is further than a page's size off the page."""
    x0, y0, x1, y1 = stroke.bbox
    return -page.width <= x0 <= x1 <= 2 * page.width and -page.height <= y0 <= y1 <= 2 * page.height


def _edges(stroke: "LTCurve", height: float) -> Iterator[_Edge]:
    from pdfminer.layout import LTRect

    if isinstance(stroke, LTRect):
        x0, y0, x1, y1 = stroke.bbox
        if max(stroke.width, stroke.height) < _THIN:
            return
        if stroke.height < _THIN:
            yield from _edge(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, height)
        elif stroke.width < _THIN:
            yield from _edge((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, height)
        else:
            yield from _edge(x0, y0, x1, y0, height)
            yield from _edge(x0, y1, x1, y1, height)
            yield from _edge(x0, y0, x0, y1, height)
            yield from _edge(x1, y0, x1, y1, height)
        return
    for (x0, y0), (x1, y1) in zip(stroke.pts, stroke.pts[1:], strict=False):
        yield from _edge(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1), height)


def _edge(x0: float, y0: float, x1: float, y1: float, height: float) -> Iterator[_Edge]:
    """Yield the stroke as pdfplumber's edge where it goes straight across or straight down."""
    if (y1 - y0 > _STRAIGHT) == (x1 - x0 > _STRAIGHT):
        return
    yield {
        "x0": x0,
        "x1": x1,
        "top": height - y1,
        "bottom": height - y0,
        "width": x1 - x0,
        "height": y1 - y0,
        "orientation": "h" if x1 - x0 > _STRAIGHT else "v",
    }


def _merged(edges: list[_Edge]) -> tuple[list[_Edge], list[_Edge]]:
    """Return the strokes across and down, those that go on from another joined to it."""
    from pdfplumber.table import merge_edges

    if not edges:
        return [], []
    merged = merge_edges(edges, _THIN, _THIN, _THIN, _THIN)
    across = [edge for edge in merged if edge["orientation"] == "h" and _width(edge) >= _SHORTEST]
    down = [edge for edge in merged if edge["orientation"] == "v" and _depth(edge) >= _SHORTEST]
    return across, down


def _width(edge: _Edge) -> float:
    return float(edge["x1"] - edge["x0"])


def _depth(edge: _Edge) -> float:
    return float(edge["bottom"] - edge["top"])


def _groups(across: list[_Edge], down: list[_Edge]) -> Iterator[tuple[list[_Edge], list[_Edge]]]:
    """Yield the strokes that hang together."""
    crossed = [
        [number for number, flat in enumerate(across) if _cross(flat, upright)] for upright in down
    ]
    crossing: dict[int, list[int]] = {}
    for upright, flats in enumerate(crossed):
        for flat in flats:
            crossing.setdefault(flat, []).append(upright)
    seen: set[int] = set()
    for start in range(len(down)):
        if start in seen:
            continue
        seen.add(start)
        uprights, flats_here = [start], set[int]()
        for upright in uprights:
            for flat in crossed[upright]:
                if flat not in flats_here:
                    flats_here.add(flat)
                    new = [other for other in crossing[flat] if other not in seen]
                    seen.update(new)
                    uprights += new
        yield [across[flat] for flat in sorted(flats_here)], [down[each] for each in uprights]


def _cross(flat: _Edge, upright: _Edge) -> bool:
    return bool(
        flat["x0"] - _THIN <= upright["x0"] <= flat["x1"] + _THIN
        and upright["top"] - _THIN <= flat["top"] <= upright["bottom"] + _THIN
    )


def _closed(across: list[_Edge], down: list[_Edge]) -> list[_Edge]:
    """Return the strokes with the outer border that many tables leave out added."""
    if not across:
        return []
    left, right = min(edge["x0"] for edge in across), max(edge["x1"] for edge in across)
    top, bottom = min(edge["top"] for edge in down), max(edge["bottom"] for edge in down)
    edges = [*across, *down]
    for x, side in ((left, "x0"), (right, "x1")):
        ends = [edge for edge in across if abs(edge[side] - x) <= _THIN]
        if len(ends) > 1 and all(abs(edge["x0"] - x) > _THIN for edge in down):
            edges += _edge(x, -bottom, x, -top, 0.0)
    for y, side in ((top, "top"), (bottom, "bottom")):
        ends = [edge for edge in down if abs(edge[side] - y) <= _THIN]
        if len(ends) > 1 and all(abs(edge["top"] - y) > _THIN for edge in across):
            edges += _edge(left, -y, right, -y, 0.0)
    return edges


def _grids(edges: list[_Edge], height: float) -> Iterator[Grid]:
    from pdfplumber.table import cells_to_tables, edges_to_intersections, intersections_to_cells

    crossings = edges_to_intersections(edges, _THIN, _THIN)
    if not 6 <= len(crossings) <= _MOST_CROSSINGS:  # two cells have six corners
        return
    for boxes in cells_to_tables(intersections_to_cells(crossings)):
        xs = sorted({x for box in boxes for x in (box[0], box[2])})
        ys = sorted({y for box in boxes for y in (box[1], box[3])})
        if len(xs) < 3:
            continue
        column, row = ({at: number for number, at in enumerate(each)} for each in (xs, ys))
        cells = (Cell(row[y0], row[y1], column[x0], column[x1]) for x0, y0, x1, y1 in boxes)
        yield Grid(tuple(xs), tuple(height - y for y in ys), tuple(cells))


def _stacks(across: Sequence[_Edge], height: float) -> Iterator[Stack]:
    for left in _near(across, "x0"):
        for same in _near(left, "x1"):
            ys = sorted((height - edge["top"] for edge in same), reverse=True)
            if 2 < len(ys) <= _MOST_RULES:
                x0, x1 = min(edge["x0"] for edge in same), max(edge["x1"] for edge in same)
                yield Stack(x0, x1, tuple(ys))


def _near(edges: Sequence[_Edge], end: str) -> Iterator[list[_Edge]]:
    """Yield the strokes whose ends are near each other."""
    near: list[_Edge] = []
    for edge in sorted(edges, key=lambda edge: float(edge[end])):
        if near and edge[end] - near[-1][end] > _SAME_END:
            yield near
            near = []
        near.append(edge)
    if near:
        yield near
