"""Tables in PDFs keep their rows, and what only looks like a table stays text."""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from reportlab.lib import colors
from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Frame,
    PageTemplate,
    Paragraph,
    SimpleDocTemplate,
    Table,
)

from ingestion.loaders import load_document, pdf_rulings, pdf_tables
from ingestion.loaders.pdf import pdf_pieces

BLACK = colors.black
GRID = [("GRID", (0, 0), (-1, -1), 0.5, BLACK)]
HEAD_AND_END = [
    ("LINEABOVE", (0, 0), (-1, 0), 0.5, BLACK),
    ("LINEBELOW", (0, 0), (-1, 0), 0.5, BLACK),
    ("LINEBELOW", (0, -1), (-1, -1), 0.5, BLACK),
]
EVERY_ROW = [
    ("LINEABOVE", (0, 0), (-1, 0), 0.5, BLACK),
    ("LINEBELOW", (0, 0), (-1, -1), 0.5, BLACK),
]
FIRST_COLUMN = ("LINEAFTER", (0, 0), (0, -1), 0.5, BLACK)
ROOMS = [
    ["Room", "Capacity", "Projector"],
    ["Room 7", "70", "yes"],
    ["Room 8", "80", "no"],
    ["Room 9", "90", "yes"],
]
ROOM_ROWS = [
    "Room: Room 7; Capacity: 70; Projector: yes",
    "Room: Room 8; Capacity: 80; Projector: no",
    "Room: Room 9; Capacity: 90; Projector: yes",
]
RIVER = "The river rises in the hills and runs to the sea, past towns and mills that stood long. "

Found = list[tuple[str, str]]


def paragraph(text: str, style: str = "BodyText") -> Any:
    return Paragraph(text, getSampleStyleSheet()[style])


def table(rows: Sequence[Sequence[Any]], style: Sequence[Any] = (), **options: Any) -> Any:
    return Table([list(row) for row in rows], style=list(style), **options)


def built(*story: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    SimpleDocTemplate(buffer, pagesize=A4).build(list(story), **options)
    return buffer.getvalue()


def drawn(draw: Callable[[Any], None]) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def write(canvas: Any, rows: Sequence[Sequence[str]], xs: Sequence[float], y: float = 700) -> None:
    for number, row in enumerate(rows):
        for x, text in zip(xs, row, strict=True):
            canvas.drawString(x, y - 14 * number, text)


def written(rows: Sequence[Sequence[str]], *xs: float) -> bytes:
    return drawn(lambda canvas: write(canvas, rows, xs))


def found(data: bytes) -> Found:
    return [(piece.kind, " ".join(piece.text.split())) for piece in pdf_pieces(data, "a.pdf")]


def rows_in(data: bytes) -> list[str]:
    return [text for kind, text in found(data) if kind == "table"]


@pytest.mark.parametrize(
    "style",
    [
        GRID,
        [("INNERGRID", (0, 0), (-1, -1), 0.5, BLACK)],
        EVERY_ROW,
        HEAD_AND_END,
        [*HEAD_AND_END, FIRST_COLUMN],
        [*HEAD_AND_END, ("BOX", (0, 0), (-1, -1), 0.5, BLACK), FIRST_COLUMN],
        [("ROWBACKGROUNDS", (0, 0), (-1, -1), [colors.lightgrey, colors.white])],
        [],
    ],
    ids=["grid", "inner", "every row", "head and end", "first column", "box", "stripes", "none"],
)
def test_each_row_names_its_columns_between_the_text_around_it(style: list[Any]) -> None:
    data = built(
        paragraph("Meeting rooms", "Heading1"),
        paragraph("The rooms of the house are listed here."),
        table(ROOMS, style),
        paragraph("Ask the desk for a key."),
    )
    assert found(data) == [
        ("title", "Meeting rooms"),
        ("text", "The rooms of the house are listed here."),
        *(("table", row) for row in ROOM_ROWS),
        ("text", "Ask the desk for a key."),
    ]


def test_wrapped_cells_are_one_value_and_what_is_hyphenated_is_joined() -> None:
    long = (
        "Moves water from the lower tank to the upper one when the level is un-<br/>der the mark."
    )
    rows = [["Part", "Use", "Owner"], ["Pump", paragraph(long), "Ann"], ["Tap", "Opens.", "Bob"]]
    data = built(paragraph("Before."), table(rows, GRID, colWidths=[80, 150, 80]))
    assert found(data) == [
        ("text", "Before."),
        ("table", "Part: Pump; Use: " + long.replace("-<br/>", "") + "; Owner: Ann"),
        ("table", "Part: Tap; Use: Opens.; Owner: Bob"),
    ]


def test_wrapped_cells_without_borders_go_on_with_their_row() -> None:
    def draw(canvas: Any) -> None:
        xs = (72, 150, 400)
        write(canvas, [["Part", "Use", "Price"]], xs)
        write(canvas, [["Pump", "Moves water from the tank", "12.00"]], xs, y=680)
        write(canvas, [["to the roof when low."]], (150,), y=668)
        write(canvas, [["Tap", "Opens.", "3.50"], ["Hose", "Leads away.", "7.10"]], xs, y=648)

    assert rows_in(drawn(draw)) == [
        "Part: Pump; Use: Moves water from the tank to the roof when low.; Price: 12.00",
        "Part: Tap; Use: Opens.; Price: 3.50",
        "Part: Hose; Use: Leads away.; Price: 7.10",
    ]


def test_empty_cells_are_left_out() -> None:
    rows = [["Name", "Mon", "Tue"], ["Ann", "", "9"], ["Bob", "8", ""]]
    assert rows_in(built(table(rows, GRID))) == ["Name: Ann; Tue: 9", "Name: Bob; Mon: 8"]


def test_rows_that_only_the_sides_rule_are_told_from_wrapped_cells() -> None:
    rows = [["Name", "Role", "Town"], ["Ann", "Lead", "Bonn"], ["Bob", "Cook", "Kiel"]]
    style = [*HEAD_AND_END, ("LINEBEFORE", (0, 0), (-1, -1), 0.5, BLACK)]
    assert rows_in(built(table(rows, style, colWidths=120))) == [
        "Name: Ann; Role: Lead; Town: Bonn",
        "Name: Bob; Role: Cook; Town: Kiel",
    ]


def test_a_cell_of_several_rows_stands_in_each_and_a_common_head_before_each_head() -> None:
    rows = [
        ["Area", "2023", "", "Note"],
        ["", "Q1", "Q2", ""],
        ["North", "1", "2", "a"],
        ["", "3", "4", "b"],
    ]
    spans = [((0, 0), (0, 1)), ((1, 0), (2, 0)), ((3, 0), (3, 1)), ((0, 2), (0, 3))]
    data = built(table(rows, [*GRID, *(("SPAN", *span) for span in spans)]))
    assert rows_in(data) == [
        "Area: North; 2023 Q1: 1; 2023 Q2: 2; Note: a",
        "Area: North; 2023 Q1: 3; 2023 Q2: 4; Note: b",
    ]


@pytest.mark.parametrize("repeated", [0, 1])
@pytest.mark.parametrize("last", [37, 60], ids=["one row over", "many rows over"])
def test_a_table_over_two_pages_keeps_the_names_of_its_columns(repeated: int, last: int) -> None:
    rows = [["Room", "Use", "Who"]] + [[f"Room {n}", "lab", "Ann"] for n in range(last)]
    data = built(paragraph("Before."), table(rows, GRID, repeatRows=repeated), paragraph("After."))
    pieces = [piece for piece in pdf_pieces(data, "a.pdf") if piece.kind == "table"]
    assert [piece.text for piece in pieces] == [
        f"Room: Room {n}; Use: lab; Who: Ann" for n in range(last)
    ]
    assert [piece.page for piece in pieces] == [1] * 36 + [2] * (last - 36)


def test_blocks_of_rows_index_into_the_text_and_have_their_page() -> None:
    data = built(
        paragraph("Rooms", "Heading1"),
        table(ROOMS, GRID, spaceAfter=700),
        paragraph("Next page."),
        table(ROOMS, GRID),
    )
    document = load_document(data, "rooms.pdf")
    blocks = [(b.page, b.section, document.text[b.start : b.end]) for b in document.blocks]
    assert [block for block in blocks if block[2] in ROOM_ROWS] == [
        (page, ("Rooms",), row) for page in (1, 2) for row in ROOM_ROWS
    ]
    assert document.text.count("Room 7") == 2
    assert document.pages == 2


def test_a_head_alone_is_no_table() -> None:
    data = built(table(ROOMS[:1], GRID), paragraph("After."))
    assert rows_in(data) == []
    assert all(name in " ".join(text for _, text in found(data)) for name in ROOMS[0])


def test_a_table_inside_a_page_frame_is_found() -> None:
    def frame(canvas: Any, document: Any) -> None:
        canvas.rect(20, 20, A4[0] - 40, A4[1] - 40)

    data = built(paragraph(RIVER * 4), table(ROOMS, GRID), onFirstPage=frame)
    assert found(data) == [("text", (RIVER * 4).strip()), *(("table", row) for row in ROOM_ROWS)]


def test_two_tables_side_by_side_stay_two() -> None:
    def draw(canvas: Any) -> None:
        for x in (60, 320):
            grid = table(ROOMS, GRID)
            grid.wrapOn(canvas, 200, 100)
            grid.drawOn(canvas, x, 600)

    assert rows_in(drawn(draw)) == ROOM_ROWS * 2


def test_a_turned_page_is_read_as_it_is_shown() -> None:
    def draw(canvas: Any) -> None:
        canvas.setPageRotation(90)
        canvas.translate(300, 100)
        canvas.rotate(90)
        grid = table(ROOMS, GRID)
        grid.wrapOn(canvas, 400, 400)
        grid.drawOn(canvas, 0, 0)

    assert rows_in(drawn(draw)) == ROOM_ROWS


def two_columns(*story: Any) -> bytes:
    width, height = A4
    buffer = io.BytesIO()
    frames = [Frame(x, 40, width / 2 - 50, height - 80) for x in (40, width / 2 + 10)]
    document = BaseDocTemplate(buffer, pagesize=A4)
    document.addPageTemplates([PageTemplate(frames=frames)])
    document.build(list(story))
    return buffer.getvalue()


def test_two_columns_are_read_one_after_the_other() -> None:
    story = [paragraph("A study of rivers", "Heading1")]
    for number in range(40):
        if number % 8 == 0:
            story.append(paragraph(f"{number // 8 + 1} Part {number // 8 + 1}", "Heading2"))
        story.append(paragraph(f"Sentence {number} wraps over some lines. {RIVER} M{number}."))
    pieces = found(two_columns(*story))
    markers = re.findall(r"M\d+", " ".join(text for _, text in pieces))
    assert markers == [f"M{number}" for number in range(40)]
    assert {kind for kind, _ in pieces} == {"title", "text"}


@pytest.mark.parametrize("style", [GRID, HEAD_AND_END], ids=["grid", "rules"])
def test_a_table_in_one_of_two_columns_stands_in_its_column(style: list[Any]) -> None:
    def draw(canvas: Any) -> None:
        write(canvas, [[RIVER[:44]]] * 40, (50,), y=780)
        write(canvas, [[RIVER[40:80]]] * 15, (310,), y=780)
        grid = table(ROOMS, style)
        grid.wrapOn(canvas, 200, 100)
        grid.drawOn(canvas, 320, 490)
        write(canvas, [[RIVER[10:50]]] * 15, (310,), y=470)

    assert found(drawn(draw)) == [
        ("text", " ".join([RIVER[:44].strip()] * 40)),
        ("text", " ".join([RIVER[40:80].strip()] * 15)),
        *(("table", row) for row in ROOM_ROWS),
        ("text", " ".join([RIVER[10:50].strip()] * 15)),
    ]


def test_a_letterhead_with_borders_is_still_a_running_head() -> None:
    def draw(canvas: Any) -> None:
        for word in ("one", "two", "three", "four"):
            head = table([["ACME Ltd", "Order 12"], ["Secret", "Revision B"]], GRID)
            head.wrapOn(canvas, 400, 100)
            head.drawOn(canvas, 72, A4[1] - 60)
            canvas.drawString(72, 500, f"Text of page {word}.")
            canvas.showPage()

    assert [text for _, text in found(drawn(draw))] == [
        f"Text of page {word}." for word in ("one", "two", "three", "four")
    ]


def test_a_page_with_very_many_strokes_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [["Name", "Role", "Town"], ["Ann", "Lead", "Bonn"], ["Bob", "Cook", "Kiel"]]
    data = built(table(rows, GRID))
    assert len(rows_in(data)) == 2
    monkeypatch.setattr(pdf_rulings, "_MOST_STROKES", 5)
    assert rows_in(data) == []


def contents(canvas: Any) -> None:
    for number in range(12):
        canvas.drawString(72, 750 - 16 * number, f"{number + 1} Chapter {number} " + "." * 60)
        canvas.drawRightString(500, 750 - 16 * number, str(7 * number + 1))


def bare_contents(canvas: Any) -> None:
    for number in range(12):
        canvas.drawString(72, 750 - 16 * number, f"Chapter {number}")
        canvas.drawRightString(500, 750 - 16 * number, str(7 * number + 1))


def code(canvas: Any) -> None:
    canvas.setFont("Courier", 9)
    write(canvas, [["alpha    = 1"], ["beta     = 22"], ["gamma    = 333"]], (72,))
    write(canvas, [[str(n), f"x{n}   {n * n}"] for n in range(6)], (72, 105.4), y=600)


def chart(canvas: Any) -> None:
    for number in range(6):
        canvas.line(100, 300 + 40 * number, 400, 300 + 40 * number)
        canvas.line(100 + 60 * number, 300, 100 + 60 * number, 500)
        canvas.drawString(80, 300 + 40 * number, str(10 * number))
    canvas.drawString(150, 410, "peak")


def news(canvas: Any) -> None:
    parts = ("The river rises in the hills", "past towns and mills that stood", "and people come")
    write(canvas, [parts] * 30, (50, 220, 390), y=780)
    for y in (795, 600, 365):
        canvas.line(45, y, 560, y)


def blanks(canvas: Any) -> None:
    write(canvas, [["Name:"], ["Date:"], ["Place:"]], (72,))
    for number in range(3):
        canvas.line(130, 698 - 14 * number, 400, 698 - 14 * number)


LOOKALIKES = {
    "framed paragraph": built(table([[paragraph(RIVER * 3)]], GRID)),
    "coloured paragraph": built(
        table([[paragraph(RIVER * 3)]], [("BACKGROUND", (0, 0), (-1, -1), colors.yellow)])
    ),
    "box with a title": built(table([["Note"], [paragraph(RIVER * 3)]], GRID)),
    "boxes side by side": built(table([[paragraph(RIVER * 3), paragraph(RIVER * 2)]], GRID)),
    "justified text": built(
        *[Paragraph(RIVER * 4, ParagraphStyle("j", alignment=TA_JUSTIFY, rightIndent=250))] * 3
    ),
    "numbered list": written([[f"{n}.", f"Item {n}"] for n in range(1, 7)], 72, 100),
    "list in two columns": written(
        [[f"{n}.", f"Item {n}", f"{n + 6}.", f"Item {n + 6}"] for n in range(1, 7)],
        *(72, 100, 300, 328),
    ),
    "bullets": written([["•", RIVER[:60]], ["•", "Short."], ["•", RIVER[:50]]], 72, 100),
    "verses": written([[str(n), "and so it was said to them"] for n in range(1, 8)], 72, 100),
    "contents": drawn(contents),
    "contents without dots": drawn(bare_contents),
    "addresses": written(
        [["Sender Ltd", "Receiver GmbH"], ["12 High Street", "Hauptstr. 5"], ["Ely", "53113 Bonn"]],
        *(72, 320),
    ),
    "signatures": written(
        [["_" * 14, "_" * 14], ["Ann Smith", "Bob Jones"], ["1 May 2024", "2 May 2024"]], 72, 320
    ),
    "blanks to fill in": drawn(blanks),
    "code": drawn(code),
    "formulas": written([[f"y{n} = a x + b", f"({n})"] for n in range(1, 6)], 200, 480),
    "index": written([[f"word{n}, {n}", f"term{n}, {n + 9}"] for n in range(30)], 72, 300),
    "chart": drawn(chart),
    "newspaper with rules": drawn(news),
    "two columns of prose": written([[RIVER[:44], RIVER[40:80]]] * 30, 50, 310),
}


@pytest.mark.parametrize("name", LOOKALIKES)
def test_what_only_looks_like_a_table_stays_as_it_was(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = pdf_pieces(LOOKALIKES[name], "a.pdf")
    monkeypatch.setattr(pdf_tables, "_tables", lambda *_: [])
    assert pieces == pdf_pieces(LOOKALIKES[name], "a.pdf")


def test_text_around_a_table_is_what_it_is_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    around = [paragraph("Head", "Heading1"), paragraph(RIVER * 3), paragraph("1. Next", "Heading2")]
    data = built(*around, table(ROOMS, GRID), *around)
    kept = [piece for piece in pdf_pieces(data, "a.pdf") if piece.kind != "table"]
    monkeypatch.setattr(pdf_tables, "_tables", lambda *_: [])
    cells = {word for row in ROOMS for text in row for word in text.split()}
    whole = pdf_pieces(data, "a.pdf")
    assert kept == [piece for piece in whole if not cells.issuperset(piece.text.split())]
    assert len(whole) > len(kept)
