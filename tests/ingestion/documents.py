"""Real small files of every format, made by the libraries that people make them with."""

import io
import json
import zipfile
from collections.abc import Sequence
from email.message import EmailMessage

__all__ = [
    "docx",
    "eml",
    "encrypted_pdf",
    "epub",
    "pdf",
    "pptx",
    "scanned_pdf",
    "xlsx",
    "zipped",
]

Page = Sequence[tuple[str, str]]
"""(style, text) pairs; the style is a reportlab sample style such as `Heading1` or `BodyText`."""


def pdf(*pages: Page, footer: str = "") -> bytes:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

    styles = getSampleStyleSheet()
    story = []
    for page in pages:
        story += [Paragraph(text, styles[style]) for style, text in page]
        story.append(PageBreak())
    buffer = io.BytesIO()

    def draw_footer(canvas: object, document: object) -> None:
        canvas.drawString(280, 30, f"{footer} {document.page}")  # type: ignore[attr-defined]

    on_page = draw_footer if footer else lambda canvas, document: None
    SimpleDocTemplate(buffer).build(story, onFirstPage=on_page, onLaterPages=on_page)
    return buffer.getvalue()


def scanned_pdf() -> bytes:
    """A page that holds a picture of a line and no text."""
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.line(10, 10, 200, 200)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypted_pdf(data: bytes, *, password: str) -> bytes:
    """`data` encrypted. With an empty password it opens for everybody, as print-locked files do."""
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(data)))
    writer.encrypt(user_password=password, owner_password="owner", algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def docx() -> bytes:
    from docx import Document

    document = Document()
    document.add_heading("Handbook", level=1)
    document.add_heading("Leave", level=2)
    document.add_paragraph("Every employee has thirty days of leave. Ask early.")
    document.add_paragraph("Ask your lead", style="List Bullet")
    document.add_heading("Salaries", level=2)
    table = document.add_table(rows=3, cols=3)
    rows = (("Grade", "Title", "Euro"), ("A", "Junior", "3000"), ("B", "Senior", "5000"))
    for row, values in zip(table.rows, rows, strict=True):
        for cell, value in zip(row.cells, values, strict=True):
            cell.text = value
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pptx() -> bytes:
    from pptx import Presentation

    deck = Presentation()
    for title, body in (("Goals", "Grow by ten percent."), ("Risks", "The supplier may fail.")):
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
    deck.slides[1].notes_slide.notes_text_frame.text = "Mention the second supplier."
    buffer = io.BytesIO()
    deck.save(buffer)
    return buffer.getvalue()


def xlsx() -> bytes:
    from openpyxl import Workbook

    book = Workbook()
    first = book.active
    assert first is not None
    first.title = "Cities"
    for row in (
        ("City", "Country", "People"),
        ("Paris", "France", 2_100_000),
        ("Rome", "Italy", 7),
    ):
        first.append(row)
    second = book.create_sheet("Rivers")
    for line in (("River", "Length"), ("Rhine", 1233), ("Elbe", 1094)):
        second.append(line)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def eml() -> bytes:
    message = EmailMessage()
    message["Subject"] = "Größe der Lieferung"
    message["From"] = "Ada <ada@example.org>"
    message["To"] = "bob@example.org"
    message.set_content("The delivery has 42 pallets. It comes on Monday.")
    message.add_attachment(b"%PDF-", maintype="application", subtype="pdf", filename="list.pdf")
    return message.as_bytes()


def epub() -> bytes:
    chapter = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml">'
        "<head><title>x</title></head>"
        "<body><h1>The Whale</h1><p>Call me Ishmael. Some years ago I went to sea.</p>"
        "</body></html>"
    )
    package = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0" '
        'unique-identifier="i"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        '<dc:identifier id="i">x</dc:identifier><dc:title>Moby</dc:title>'
        "<dc:language>en</dc:language></metadata>"
        '<manifest><item id="c" href="c.xhtml" media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="c"/></spine></package>'
    )
    container = (
        '<?xml version="1.0"?><container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
        'full-path="p.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "p.opf": package,
            "c.xhtml": chapter,
        }
    )


def zipped(entries: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def jsonl(records: Sequence[dict[str, object]]) -> bytes:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()
