"""Files that cannot be ingested say why."""

import io
import zipfile

import pytest

from ingestion.errors import DocumentError
from ingestion.loaders import archives, load_document
from tests.ingestion import documents

PDF = documents.pdf([("BodyText", "A page of text that can be read.")])
HTML = b"<!doctype html><html><body><p>Please log in.</p></body></html>"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(range(256))
OLE_ENCRYPTED = (
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
)


def refusal(data: bytes, filename: str) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        load_document(data, filename)
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


def test_zip_bomb_is_refused_before_it_expands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_EXPANDED_BYTES", 1_000_000)
    bomb = documents.zipped({"a.md": b"0" * 1_000_001})
    assert "expands to" in str(refusal(bomb, "a.zip"))


def test_archive_with_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    many = documents.zipped({f"{number}.md": "x" for number in range(4)})
    assert "4 entries" in str(refusal(many, "a.zip"))


def test_every_refusal_tells_what_to_do() -> None:
    for data, name in ((b"", "a.txt"), (PDF, "a.docx"), (b"x", "a.xyz"), (PDF[:500], "a.pdf")):
        assert refusal(data, name).fix
