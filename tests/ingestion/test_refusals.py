"""Files that cannot be ingested say why."""

import io
import re
import zipfile
from pathlib import Path

import pytest

from ingestion.errors import DocumentError
from ingestion.loaders import load_document
from ingestion.loaders.limits import DocumentLimits
from tests.ingestion import documents

PDF = documents.pdf([("BodyText", "A page of text that can be read.")])
HTML = b"<!doctype html><html><body><p>Please log in.</p></body></html>"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(range(256))
OLE_ENCRYPTED = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
)


def refusal(
    data: bytes,
    filename: str,
    limits: DocumentLimits = DocumentLimits(),  # noqa: B008 - frozen
) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        load_document(data, filename, limits)
    return caught.value


@pytest.mark.parametrize("name", ["a.txt", "a.pdf", "a.docx", "a.csv", "noname"])
@pytest.mark.parametrize("data", [b"", b" \n\t ", b"\xef\xbb\xbf", b"\0\0"])
def test_empty(name: str, data: bytes) -> None:
    assert "is empty" in str(refusal(data, name))


@pytest.mark.parametrize(
    ("data", "name", "found", "expected"),
    [
        (PDF, "a.docx", "a PDF file", "a DOCX file"),
        (PDF, "a.txt", "a PDF file", "plain text"),
        (HTML, "a.pdf", "an HTML page", "a PDF file"),
        (HTML, "a.csv", "an HTML page", "a CSV file"),
        (documents.docx(), "a.pdf", "a DOCX file", "a PDF file"),
        (documents.xlsx(), "a.docx", "a XLSX file", "a DOCX file"),
        (b"just words here", "a.pdf", "plain text", "a PDF file"),
        (b"just words here", "a.xlsx", "plain text", "a XLSX file"),
        (documents.zipped({"a.md": "hi"}), "a.docx", "a ZIP archive", "a DOCX file"),
    ],
)
def test_mislabelled_names_what_was_found_and_expected(
    data: bytes, name: str, found: str, expected: str
) -> None:
    error = refusal(data, name)
    assert found in str(error)
    assert expected in str(error)
    assert error.code == "invalid_file"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"words", "a.xyz"),
        (PNG, "a.png"),
        (PNG, "a.txt"),
        (bytes(range(1, 256)) * 20, "a.txt"),
        (documents.zipped({"a.bin": b"\1\2"}), "a.zip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.docx"),
    ],
)
def test_unsupported_has_its_code(data: bytes, name: str) -> None:
    assert refusal(data, name).code == "unsupported_file"


@pytest.mark.parametrize(
    ("data", "name"),
    [(documents.encrypted_pdf(PDF, password="secret"), "a.pdf"), (OLE_ENCRYPTED, "a.docx")],
)
def test_encrypted(data: bytes, name: str) -> None:
    assert "encrypted with a password" in str(refusal(data, name))


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (PDF[: len(PDF) // 3], "a.pdf"),
        (documents.docx()[:-300], "a.docx"),
        (documents.xlsx()[:2000], "a.xlsx"),
        (documents.epub()[:300], "a.epub"),
    ],
)
def test_truncated_says_so(data: bytes, name: str) -> None:
    assert "cut short" in str(refusal(data, name))


def test_truncated_json_names_the_line() -> None:
    assert "Line 2 is not valid JSON" in str(refusal(b'{"a": 1}\n{"a": ', "a.jsonl"))


def test_damaged_pdf_with_an_end_mark() -> None:
    assert refusal(b"%PDF-1.7\n" + b"garbage " * 50 + b"%%EOF", "a.pdf").code == "invalid_file"


def test_entry_damaged_inside_a_zip() -> None:
    data = bytearray(documents.docx())
    with zipfile.ZipFile(io.BytesIO(bytes(data))) as archive:
        entry = archive.getinfo("word/document.xml")
    middle = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    data[middle : middle + 8] = b"\xff" * 8
    assert "damaged" in str(refusal(bytes(data), "a.docx"))


def test_scan_without_text() -> None:
    assert "scan" in str(refusal(documents.scanned_pdf(), "a.pdf"))


def test_an_archive_that_expands_too_far_is_refused_before_it_does() -> None:
    bomb = documents.zipped({"a.md": b"0" * 1_000_001})
    limits = DocumentLimits(expanded_bytes=1_000_000)
    assert "1000000 bytes are allowed" in str(refusal(bomb, "a.zip", limits))


def test_a_zip_bomb_is_refused_by_its_ratio() -> None:
    bomb = documents.zipped({"word/document.xml": bytes(40 * 1024**2)})
    assert "more than the 200 times allowed" in str(refusal(bomb, "a.docx"))


def test_an_archive_with_too_many_entries_is_refused() -> None:
    many = documents.zipped({f"{number}.md": "x" for number in range(4)})
    assert "4 entries" in str(refusal(many, "a.zip", DocumentLimits(archive_entries=3)))


def test_archives_inside_one_count_together() -> None:
    inner = documents.zipped({"a.md": b"0" * 600_000})
    outer = documents.zipped({"one.zip": inner, "two.zip": inner})
    limits = DocumentLimits(expanded_bytes=1_000_000)
    assert "1000000 bytes are allowed" in str(refusal(outer, "a.zip", limits))
    assert load_document(outer, "a.zip", DocumentLimits(expanded_bytes=2_000_000))


def test_archives_nested_too_deep_are_refused() -> None:
    data = documents.zipped({"a.md": "text"})
    for _ in range(3):
        data = documents.zipped({"inner.zip": data})
    assert "archives within archives" in str(refusal(data, "a.zip"))


def test_a_document_of_too_many_pages_is_refused() -> None:
    pages = documents.pdf(*([("BodyText", "A page of text.")] for _ in range(4)))
    assert "more than the 3 pages" in str(refusal(pages, "a.pdf", DocumentLimits(pages=3)))
    assert "more than the 1 pages" in str(
        refusal(documents.pptx(), "a.pptx", DocumentLimits(pages=1))
    )


def test_a_document_of_too_much_text_is_refused() -> None:
    limits = DocumentLimits(characters=100)
    assert "100 characters allowed" in str(refusal(b"some words. " * 50, "a.txt", limits))


BILLION_LAUGHS = (
    "<!DOCTYPE x [<!ENTITY a 'ha'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
    + "]>"
)
OUTSIDE = "<!DOCTYPE x [<!ENTITY j SYSTEM 'file:///etc/passwd'>]>"


def with_entity(made: bytes, part: str, declared: str) -> bytes:
    """The ZIP with the entity j declared in `part`, and used where its first text is."""
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    xml = entries[part].decode()
    start = xml.find("?>") + 2 if xml.startswith("<?xml") else 0
    xml = xml[:start] + declared + re.sub(r">(\w[^<&]{2,})<", r">\1 &j;<", xml[start:], count=1)
    assert "&j;" in xml
    return documents.zipped({**entries, part: xml})


@pytest.mark.parametrize("declared", [BILLION_LAUGHS, OUTSIDE])
@pytest.mark.parametrize(
    ("made", "part", "name"),
    [
        (documents.docx(), "word/document.xml", "a.docx"),
        (documents.pptx(), "ppt/slides/slide1.xml", "a.pptx"),
        (documents.xlsx(), "xl/worksheets/sheet1.xml", "a.xlsx"),
        (documents.epub(), "c.xhtml", "a.epub"),
        (documents.epub(), "p.opf", "a.epub"),
    ],
)
def test_entities_of_a_document_are_neither_expanded_nor_fetched(
    declared: str, made: bytes, part: str, name: str
) -> None:
    try:
        text = load_document(with_entity(made, part, declared), name).text
    except DocumentError:
        return
    assert "root:" not in text
    assert text.count("ha") < 20


@pytest.mark.parametrize("declared", [BILLION_LAUGHS, OUTSIDE])
@pytest.mark.parametrize("name", ["a.html", "a.xhtml", "a.md"])
def test_entities_of_a_page_are_neither_expanded_nor_fetched(declared: str, name: str) -> None:
    page = f'<?xml version="1.0"?>{declared}<html><body><p>A text &j; here.</p></body></html>'
    try:
        text = load_document(page.encode(), name).text
    except DocumentError:
        return
    assert "root:" not in text
    assert text.count("haha") < 20


def test_scripts_and_handlers_never_become_text() -> None:
    page = (
        "<html><head><script>var stolen = 1;</script><style>p{color:red}</style></head><body>"
        "<p onclick='steal()'>Leave lasts <b>ten</b> days.</p><script>document.cookie</script>"
        "<noscript>enable it</noscript><template>hidden template</template>"
        "<svg><script>svgscript()</script></svg><iframe srcdoc='framed'></iframe>"
        "<a href='javascript:steal()'>a link</a><!-- a comment --></body></html>"
    )
    text = load_document(page.encode(), "a.html").text
    assert "Leave lasts ten days." in text
    for never in ("stolen", "steal", "cookie", "svgscript", "color:red", "framed", "a comment"):
        assert never not in text


@pytest.mark.parametrize("name", ["a.docm", "a.xlsm", "a.pptm", "a.dotm", "a.xltm"])
def test_files_with_macros_are_refused_by_their_name(name: str) -> None:
    assert refusal(documents.docx(), name).code == "unsupported_file"


def test_a_macro_in_a_file_without_the_name_never_becomes_text() -> None:
    with zipfile.ZipFile(io.BytesIO(documents.docx())) as archive:
        entries: dict[str, str | bytes] = {n: archive.read(n) for n in archive.namelist()}
    entries["word/vbaProject.bin"] = b"Sub AutoOpen()\nShell planted\nEnd Sub"
    text = load_document(documents.zipped(entries), "a.docx").text
    assert "thirty days" in text
    assert "planted" not in text


@pytest.mark.parametrize("name", ["../../etc/passwd.md", "/etc/passwd.md", "a\\..\\x.md"])
def test_names_in_an_archive_are_titles_and_never_places(name: str, tmp_path: Path) -> None:
    found = load_document(documents.zipped({name: "A page of text."}), "a.zip")
    assert "A page of text." in found.text
    assert not list(tmp_path.iterdir())


def test_every_refusal_tells_what_to_do() -> None:
    for data, name in ((b"", "a.txt"), (PDF, "a.docx"), (b"x", "a.xyz"), (PDF[:500], "a.pdf")):
        assert refusal(data, name).fix
