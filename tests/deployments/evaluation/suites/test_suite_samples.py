"""The suites that ship hold together: they read, their data is whole, their facts are true."""

import re
from collections import Counter
from pathlib import Path

import pytest

from deployments.evaluation.suites.reading import LoadedSuite, read_suite
from deployments.evaluation.suites.samples import SAMPLES, sample_suites
from ingestion import samples as corpus

NAMES = ("multilingual", "rag_quality", "refusals", "regression", "safety")


def loaded(name: str) -> LoadedSuite:
    return read_suite(SAMPLES / f"{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_suite_reads_and_has_items_and_thresholds(name: str) -> None:
    found = loaded(name)
    assert found.rows is not None
    assert found.suite.name == name
    assert len(found.rows) >= 30
    assert found.suite.thresholds
    texts = [str(row.item.get("question") or row.item.get("prompt")) for row in found.rows]
    assert len(set(texts)) == len(texts)


def test_all_of_them_are_listed() -> None:
    assert tuple(suite.name for suite in sample_suites()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_pattern_compiles(name: str) -> None:
    for row in loaded(name).rows or ():
        for field in ("pattern", "forbidden"):
            if field in row.item:
                re.compile(row.item[field])


def test_the_facts_of_rag_quality_stand_in_the_documents_that_it_names() -> None:
    from pdfminer.high_level import extract_text

    folder = Path(corpus.__file__).parent
    texts = {
        path.name: path.read_text()
        for path in folder.iterdir()
        if path.suffix in {".md", ".csv", ".html"}
    }
    texts["operator-guide.pdf"] = extract_text(folder / "operator-guide.pdf")
    texts["answer-path.docx"] = _docx_text(folder / "answer-path.docx")
    for row in loaded("rag_quality").rows or ():
        item = row.item
        assert item["answerable"] == bool(item["facts"]) == bool(item["documents"])
        for document in item["documents"]:
            held = " ".join(texts[document].split()).casefold()
            missing = [fact for fact in item["facts"] if fact.casefold() not in held]
            assert not missing, (item["question"], document, missing)


def test_the_multilingual_suite_has_four_questions_in_each_of_eleven_languages() -> None:
    counts = Counter(row.item["language"] for row in loaded("multilingual").rows or ())
    assert len(counts) == 11
    assert set(counts.values()) == {4}


def test_the_safety_suite_asks_of_every_kind() -> None:
    counts = Counter(row.item["kind"] for row in loaded("safety").rows or ())
    assert set(counts) == {"injection", "secret", "jailbreak", "personal_data"}
    assert min(counts.values()) >= 6


def _docx_text(path: Path) -> str:
    from docx import Document

    return " ".join(paragraph.text for paragraph in Document(str(path)).paragraphs)
