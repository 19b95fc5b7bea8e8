import json
from pathlib import Path

import pytest

from ingestion.loaders import load_document
from ingestion.passages import ParsedDocument
from tests.ingestion import documents


def blocks(document: ParsedDocument) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (block.kind, document.text[block.start : block.end], block.section)
        for block in document.blocks
    ]


def texts(document: ParsedDocument) -> list[str]:
    return [text for _, text, _ in blocks(document)]


def test_pdf_keeps_page_numbers_and_headings() -> None:
    data = documents.pdf(
        [("Heading1", "1. Wings"), ("BodyText", "The wing is thin. " * 8)],
        [("BodyText", "The tail is long. " * 8)],
        [("Heading1", "2. Fuel"), ("Heading2", "2.1 Tanks"), ("BodyText", "Two tanks. " * 8)],
    )
    document = load_document(data, "plane.pdf")
    found = [(block.kind, block.page, block.section) for block in document.blocks]
    assert found == [
        ("title", 1, ()),
        ("text", 1, ("1. Wings",)),
        ("text", 2, ("1. Wings",)),
        ("title", 3, ()),
        ("title", 3, ("2. Fuel",)),
        ("text", 3, ("2. Fuel", "2.1 Tanks")),
    ]
    assert document.pages == 3
    assert document.language == "en"


def test_pdf_drops_running_feet() -> None:
    pages = [[("BodyText", f"Chapter text number {number}. It goes on.")] for number in "abcd"]
    document = load_document(documents.pdf(*pages, footer="Confidential, page"), "report.pdf")
    assert "Confidential" not in document.text
    assert len(document.blocks) == 4


def test_pdf_with_an_empty_password_opens() -> None:
    data = documents.encrypted_pdf(documents.pdf([("BodyText", "Open to all.")]), password="")
    assert "Open to all." in load_document(data, "locked.pdf").text


def test_docx_has_sections_lists_and_readable_rows() -> None:
    assert blocks(load_document(documents.docx(), "handbook.docx")) == [
        ("title", "Handbook", ()),
        ("title", "Leave", ("Handbook",)),
        ("text", "Every employee has thirty days of leave. Ask early.", ("Handbook", "Leave")),
        ("list", "Ask your lead", ("Handbook", "Leave")),
        ("title", "Salaries", ("Handbook",)),
        ("table", "Grade: A; Title: Junior; Euro: 3000", ("Handbook", "Salaries")),
        ("table", "Grade: B; Title: Senior; Euro: 5000", ("Handbook", "Salaries")),
    ]


def test_pptx_page_is_the_slide() -> None:
    document = load_document(documents.pptx(), "deck.pptx")
    assert {block.page for block in document.blocks} == {1, 2}
    last = [block for block in document.blocks if block.page == 2]
    assert any(block.section == ("Risks",) for block in last)
    assert "Mention the second supplier." in document.text


def test_xlsx_rows_name_their_columns_and_sheet() -> None:
    document = load_document(documents.xlsx(), "book.xlsx")
    assert blocks(document) == [
        ("title", "Cities", ()),
        ("table", "City: Paris; Country: France; People: 2100000", ("Cities",)),
        ("table", "City: Rome; Country: Italy; People: 7", ("Cities",)),
        ("title", "Rivers", ()),
        ("table", "River: Rhine; Length: 1233", ("Rivers",)),
        ("table", "River: Elbe; Length: 1094", ("Rivers",)),
    ]
    assert [block.page for block in document.blocks] == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_rows_name_their_columns(delimiter: str) -> None:
    rows = [["name", "born", "note"], ["Ada", "1815", '"first, of all"'], ["Alan", "1912", ""]]
    data = "\n".join(delimiter.join(row) for row in rows).encode()
    assert texts(load_document(data, "people.csv")) == [
        "name: Ada; born: 1815; note: first, of all",
        "name: Alan; born: 1912",
    ]


def test_html_headings_become_section_paths_and_scripts_vanish() -> None:
    page = """<!doctype html><html><head><title>t</title><script>var x = 1</script></head><body>
    <h1>Guide</h1><p>Welcome to the guide.</p><h2>Setup</h2><ul><li>Install it</li></ul>
    <table><tr><th>Port</th><th>Use</th></tr><tr><td>8000</td><td>HTTP</td></tr>
    <tr><td>8265</td><td>Dashboard</td></tr></table></body></html>"""
    document = load_document(page.encode(), "guide.html")
    assert blocks(document)[:4] == [
        ("title", "Guide", ()),
        ("text", "Welcome to the guide.", ("Guide",)),
        ("title", "Setup", ("Guide",)),
        ("list", "Install it", ("Guide", "Setup")),
    ]
    assert "8000" in document.text and "Dashboard" in document.text
    assert "var x" not in document.text


def test_markdown_headings_code_and_front_matter() -> None:
    page = (
        "---\nowner: Ada\n---\n# Top\n\nIntro here.\n\n## Deep\n\n```python\nif x:\n    go()\n```\n"
    )
    found = blocks(load_document(page.encode(), "page.md"))
    assert ("table", "owner: Ada", ()) in found
    assert ("text", "Intro here.", ("Top",)) in found
    assert ("code", "if x:\n    go()", ("Top", "Deep")) in found


def test_plain_text_paragraphs_are_prose_and_headings_titles() -> None:
    text = "INTRODUCTION\n\nThe plate was thin.\n\nIt was heated from\nbelow for hours.\n"
    assert blocks(load_document(text.encode(), "notes.txt")) == [
        ("title", "INTRODUCTION", ()),
        ("text", "The plate was thin.", ("INTRODUCTION",)),
        ("text", "It was heated from below for hours.", ("INTRODUCTION",)),
    ]


def test_email_keeps_subject_people_and_body() -> None:
    document = load_document(documents.eml(), "mail.eml")
    assert texts(document)[0] == "Größe der Lieferung"
    assert "From: Ada <ada@example.org>" in document.text
    assert "Attachments: list.pdf" in document.text
    assert "The delivery has 42 pallets." in document.text


def test_epub_chapters_are_sections() -> None:
    found = blocks(load_document(documents.epub(), "moby.epub"))
    assert ("text", "Call me Ishmael. Some years ago I went to sea.", ("The Whale",)) in found


def test_jsonl_record_is_a_block_with_field_names() -> None:
    data = documents.jsonl([{"q": "Why?", "a": {"text": "Because."}}, {"q": "How?", "tags": ["x"]}])
    assert texts(load_document(data, "faq.jsonl")) == [
        "q: Why?\na.text: Because.",
        "q: How?\ntags: x",
    ]


def test_json_list_inside_an_object_gives_its_records() -> None:
    data = json.dumps({"rows": [{"a": 1, "b": True}, {"a": 2, "b": None}]}).encode()
    assert texts(load_document(data, "rows.json")) == ["a: 1\nb: true", "2"]


def test_notion_export_keeps_the_tree_of_pages() -> None:
    page_id = "0123456789abcdef0123456789abcdef"
    inner = documents.zipped(
        {
            f"Team {page_id}.md": "# Team\n\nWe build wings.\n",
            f"Team {page_id}/Rules {page_id}.md": "# Rules\n\nBe kind to all.\n",
            f"Team {page_id}/People {page_id}.csv": "Name,Role\nAda,Lead\n",
            f"Team {page_id}/People {page_id}_all.csv": "Name,Role\nAda,Lead\nBob,Dev\n",
        }
    )
    found = blocks(load_document(documents.zipped({"Export-1.zip": inner}), "export.zip"))
    assert ("text", "We build wings.", ("Team",)) in found
    assert ("text", "Be kind to all.", ("Team", "Rules")) in found
    assert [text for kind, text, _ in found if kind == "table"] == [
        "Name: Ada; Role: Lead",
        "Name: Bob; Role: Dev",
    ]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "cp1252", "latin-1"])
def test_text_in_any_encoding(encoding: str) -> None:
    text = "Die Größe des Flügels beträgt über fünf Meter, naïve Schätzung für später. " * 5
    assert "Größe des Flügels" in load_document(text.encode(encoding), "a.txt").text


def test_unicode_survives() -> None:
    text = (
        "Emoji 👩‍🚀 fly.\n\n漢字かな交じり文。\n\nالعربية جميلة.\n\nनमस्ते दुनिया।\n\nZo\u0308e came."
    )
    document = load_document(text.encode(), "world.md")
    for part in ("👩‍🚀", "漢字かな交じり文。", "العربية جميلة.", "नमस्ते दुनिया।", "Zöe"):
        assert part in document.text


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.docx", documents.docx()),
        ("a.xlsx", documents.xlsx()),
        ("a.eml", documents.eml()),
        ("a.pdf", documents.pdf([("Heading1", "A"), ("BodyText", "Some text here.")])),
        ("README", b"Read me first.\n\nThen run it.\n\n- one\n- two"),
    ],
)
def test_blocks_index_into_the_text_in_order(name: str, data: bytes) -> None:
    document = load_document(data, name)
    position = 0
    for block in document.blocks:
        assert position <= block.start < block.end
        assert document.text[position : block.start].strip() == ""
        position = block.end
    assert position == len(document.text)


def test_a_path_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("On the disk.")
    assert load_document(path, "x.txt").text == "On the disk."


def test_no_spacy_and_no_torch_are_loaded() -> None:
    import subprocess
    import sys

    script = """
import sys
from ingestion.loaders import load_document
from tests.ingestion import documents
load_document(documents.docx(), "a.docx")
load_document(documents.pdf([("BodyText", "Hi there.")]), "a.pdf")
load_document(b"# A\\n\\nText here.", "a.md")
print([name for name in ("spacy", "torch", "onnxruntime") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
