"""Each filter alone: what it removes, and what it must let through."""

import pytest

from deployments.evaluation.synthesis.drafts import Draft, Method, SourceText, row_of
from deployments.evaluation.synthesis.filters import FILTERS, Kept, first_objection, found_within

PASSAGE = (
    "The HTTP interface listens on port 8000 of the loopback address. A file is tried three times "
    "before it is marked as failed. Everloop was started by Ada Lovelace in Zürich."
)
SOURCE = SourceText(PASSAGE, "guide.pdf", "file-1", 3)


def draft(question: str, answer: str, method: Method = "model") -> Draft:
    return Draft(SOURCE, method, question, answer, "m", "p@1")


GOOD = draft("Which port does the web interface use?", "port 8000")


def test_a_good_draft_passes_every_filter() -> None:
    assert first_objection(GOOD, []) is None


@pytest.mark.parametrize(
    ("question", "answer", "removed_by"),
    [
        ("Port?", "8000", "malformed"),
        ("It listens on a port of the loopback address.", "8000", "malformed"),
        ("Which port does the interface use?", "…", "malformed"),
        ("Which port?" + " x" * 300 + "?", "8000", "malformed"),
        ("Which port is named in the passage?", "8000", "needs_the_passage"),
        ("According to the text, which port is used?", "8000", "needs_the_passage"),
        ("Welcher Port steht in diesem Text? Im Text steht er?", "8000", "needs_the_passage"),
        ("What is it that this does?", "three times", "needs_the_passage"),
        (
            "The HTTP interface listens on port 8000 of the loopback what?",
            "address",
            "copied",
        ),
        ("And so a file is tried three times before it is marked as?", "failed", "copied"),
        ("Does the interface use port 8000 today?", "port 8000", "gives_the_answer"),
        ("How often is a broken file tried, three times?", "Three times", "gives_the_answer"),
        ("Which port does the interface use?", "port 9000", "unsupported"),
        ("Who started Everloop in Switzerland?", "Grace Hopper", "unsupported"),
        ("What happens to broken files?", "They are quietly deleted from disk", "unsupported"),
        ("How heavy can whales become?", "three times", "off_topic"),
        ("Which port does the interface use in Paris?", "port 8000", "off_topic"),
        ("How many of the 77 files are tried again?", "three", "off_topic"),
    ],
)
def test_a_bad_draft_is_removed_by_the_filter_for_it(
    question: str, answer: str, removed_by: str
) -> None:
    assert first_objection(draft(question, answer), []) == removed_by


def test_an_answer_in_other_words_is_supported_where_its_facts_and_terms_are() -> None:
    said = draft("How often is a broken file tried?", "It is tried 3 times before it failed")
    assert not FILTERS["unsupported"](said, [])


def test_a_gap_is_copied_by_design() -> None:
    gap = draft(
        "Fill in the gap: The HTTP interface listens on port ____ of the loopback address.",
        "8000",
        "cloze",
    )
    assert first_objection(gap, []) is None


@pytest.mark.parametrize(
    ("earlier", "same"),
    [
        ("which port does the WEB interface use?", True),
        ("Which port is it that the web interface uses?", True),
        ("Which address does the web server use?", False),
    ],
)
def test_nearly_the_same_question_is_a_duplicate(earlier: str, same: bool) -> None:
    assert (first_objection(GOOD, [Kept.of(earlier)]) == "duplicate") is same


def test_the_document_must_be_among_the_first_passages_found() -> None:
    found = ["a.md", "a.md", "guide.pdf"]
    assert found_within(GOOD, found, 3)
    assert not found_within(GOOD, found, 2)


def test_a_row_says_that_it_is_synthetic_and_where_it_comes_from() -> None:
    row = row_of(GOOD, "vs_1")
    assert row["metadata"] == {
        "synthetic": True,
        "method": "model",
        "generator": "m",
        "prompt": "p@1",
        "document": "guide.pdf",
        "passage_id": "file-1#3",
        "vector_store_id": "vs_1",
    }
    assert (row["documents"], row["facts"], row["passage"]) == (["guide.pdf"], ["8000"], PASSAGE)
