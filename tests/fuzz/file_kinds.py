"""Small sound files of every format that the loaders know, to be damaged."""

import json
from pathlib import Path
from typing import Final

from tests.ingestion import documents

__all__ = ["sound_files"]

_SAMPLES: Final = Path(__file__).parents[2] / "ingestion" / "samples"
_SAMPLE_NAMES: Final = (
    "faq.md", "settings.csv", "document-path.html", "answer-path.docx", "operator-guide.pdf",
)  # fmt: skip
_TEXT: Final = (
    "The bridge opened in 1932. It carries eight lanes.\n\n- one\n- two\n\nÜbergröße, 東京.\n"
)
_HTML: Final = (
    "<!doctype html><html><head><title>T</title><script>var a = 1;</script></head><body>"
    "<h1>Title</h1><p onclick='x()'>Some <b>bold</b> text.</p><table><tr><td>a</td><td>1</td></tr>"
    "</table><ul><li>one</li></ul><svg><text>s</text></svg></body></html>"
)
_PAGE: Final = (("Heading1", "Bridges"), ("BodyText", "It opened in 1932 and carries eight lanes."))


def sound_files() -> list[tuple[str, bytes]]:
    """Pairs of a name and bytes; every one of them is read without an error."""
    page = documents.pdf(_PAGE, _PAGE)
    made: list[tuple[str, bytes]] = [
        ("a.pdf", page),
        ("locked.pdf", documents.encrypted_pdf(page, password="")),
        ("a.epub", documents.epub()),
        ("a.docx", documents.docx()),
        ("a.pptx", documents.pptx()),
        ("a.xlsx", documents.xlsx()),
        ("a.eml", documents.eml()),
        ("a.zip", documents.zipped({"Page.md": "# Page\n\n" + _TEXT, "Rows.csv": "a,b\n1,2\n"})),
        ("a.html", _HTML.encode()),
        ("a.xhtml", b'<?xml version="1.0" encoding="utf-8"?>' + _HTML[15:].encode()),
        ("a.md", b"---\ntitle: x\n---\n# T\n\n" + _TEXT.encode() + b"\n| a |\n|--|\n| 1 |\n"),
        ("a.txt", _TEXT.encode()),
        ("utf16.txt", _TEXT.encode("utf-16")),
        ("utf32.txt", _TEXT.encode("utf-32")),
        ("latin.txt", "Größe und Maß der Brücke, Übersicht.\n".encode("latin-1") * 9),
        ("sjis.txt", "東京は日本の首都です。橋は古い。\n".encode("shift_jis") * 9),
        ("a.csv", b"name,lanes\nbridge,8\n=1+1,2\n\"a,b\",3\n"),
        ("a.tsv", b"name\tlanes\nbridge\t8\n"),
        ("a.json", json.dumps([{"a": 1, "b": {"c": [1, 2, "x"]}}, {"a": None}]).encode()),
        ("a.jsonl", b'{"a": "bridge", "b": 8}\n{"a": "ferry", "b": [1, {"c": 2}]}\n'),
        ("noname", _TEXT.encode()),
    ]  # fmt: skip
    return made + [(name, (_SAMPLES / name).read_bytes()) for name in _SAMPLE_NAMES]
