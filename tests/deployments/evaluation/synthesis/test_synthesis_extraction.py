"""Questions that rules draft."""

import pytest

from deployments.evaluation.synthesis.drafts import Method, SourceText
from deployments.evaluation.synthesis.extraction import drafts_by_rules


def drafted(text: str, method: Method) -> list[tuple[str, str]]:
    source = SourceText(text, "d.md", "file-1", 1)
    found = list(drafts_by_rules(source, method))
    assert all(
        (d.method, d.generator, d.prompt) == (method, "rules", "extraction@1") for d in found
    )
    return [(draft.question, draft.answer) for draft in found]


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        (
            "The Retriever is the part that finds passages.",
            "What is the Retriever?",
            "the part that finds passages",
        ),
        (
            "LoRA stands for low-rank adaptation of weights.",
            "What does LoRA stand for?",
            "low-rank adaptation of weights",
        ),
        (
            "Adapters are the small matrices beside a model.",
            "What are Adapters?",
            "the small matrices beside a model",
        ),
        (
            "Backpressure means that a full queue says so.",
            "What does Backpressure mean?",
            "that a full queue says so",
        ),
    ],
)
def test_a_definition_becomes_a_question(sentence: str, question: str, answer: str) -> None:
    assert drafted(f"Hello there. {sentence}", "definition") == [(question, answer)]


@pytest.mark.parametrize(
    "sentence",
    [
        "It is the part that finds passages.",
        "Every port is bound to the loopback address.",
        "When a file is the last one, the job ends.",
        "Rome is old.",
    ],
)
def test_what_defines_nothing_becomes_none(sentence: str) -> None:
    assert drafted(sentence, "definition") == []


def test_a_table_row_becomes_a_question_per_cell() -> None:
    text = "setting: http.port; default: 8000; meaning: Port to listen on.\nNo row at all."
    assert drafted(text, "table") == [
        ("What is the default of http.port?", "8000"),
        ("What is the meaning of http.port?", "Port to listen on."),
    ]


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        (
            "The HTTP interface listens on port 8000 of the loopback address.",
            "Fill in the gap: The HTTP interface listens on port ____ of the loopback address.",
            "8000",
        ),
        (
            "Die Brücke wurde von Anna Muster in Bern gebaut und eröffnet.",
            "Fill in the gap: Die ____ wurde von Anna Muster in Bern gebaut und eröffnet.",
            "Brücke",
        ),
        (
            "Set the variable EVERLOOP_DATA_DIR before the first start of the system.",
            "Fill in the gap: Set the variable ____ before the first start of the system.",
            "EVERLOOP_DATA_DIR",
        ),
    ],
)
def test_a_gap_takes_a_number_a_code_or_a_name(sentence: str, question: str, answer: str) -> None:
    assert drafted(sentence, "cloze") == [(question, answer)]


@pytest.mark.parametrize(
    "sentence",
    [
        "Port 8000.",
        "the small cat sat on the mat and slept there",
        "Port 80 serves port 80 and so on today.",
    ],
)
def test_a_sentence_without_a_lone_fact_gets_no_gap(sentence: str) -> None:
    assert drafted(sentence, "cloze") == []


def test_the_same_text_gives_the_same_drafts() -> None:
    text = "The Embedder is the part that makes vectors. It has 384 numbers for each text it sees."
    assert drafted(text, "cloze") == drafted(text, "cloze") != []
