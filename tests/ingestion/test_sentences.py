import itertools
import time

import pytest

from ingestion.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One is here.", "Two is there!", "Is three?", "Yes."],
        ["Dr. Smith met Mr. J. R. Jones at 3.14 p.m. sharp.", "They left."],
        ["See Fig. 3 and e.g. Table 2.", "It holds."],
        ["He lives in the U.S.", "The weather is fine."],
        ["The U.S. Army came.", "Then it left."],
        ["The war began in 1914.", "It ended in 1918."],
        ["See chapter 3.", "The next one is longer."],
        ["Am 3. Oktober kam z.B. Herr Dr. Maier.", "Es regnete."],
        ['"Really?" he said.', "She nodded."],
        ["It is so.[1]", "And more. [2, 3]", "Last."],
        ["Wait... what happened?", "Nothing."],
        ["Is 5 > 3?", "yes!", "Good."],
        ["Smith et al. (2019) found it.", "Others did not."],
        ["Version 2.60.0 of ray.serve works.", "Visit example.com/a.b for more."],
    ],
)
def test_english_and_german_sentences(expected: list[str]) -> None:
    assert sentences(" ".join(expected)) == expected


def test_cjk_needs_no_space() -> None:
    assert sentences("今日は晴れです。明日は？雨！終わり") == [
        "今日は晴れです。",
        "明日は？",
        "雨！",
        "終わり",
    ]


def test_cjk_marks_made_narrow_by_nfkc_still_end_a_sentence() -> None:
    assert sentences("明日は?雨!終わり") == ["明日は?", "雨!", "終わり"]


def test_arabic_and_hindi_marks() -> None:
    assert sentences("هل هذا صحيح؟ نعم هو كذلك.") == ["هل هذا صحيح؟", "نعم هو كذلك."]
    assert len(sentences("यह पहला है। यह दूसरा है।")) == 2


def test_list_items_and_paragraphs_end_sentences() -> None:
    text = "Steps:\n- open the box\n- take it out\n\n1. First. 2 wrapped\nline\n2. Second"
    assert sentences(text) == [
        "Steps:",
        "- open the box",
        "- take it out",
        "1. First.",
        "2 wrapped\nline",
        "2. Second",
    ]


@pytest.mark.parametrize("text", ["", "  \n\t ", "...", "no end", "a.b.c", "?! x", "\n\n\n- a\n\n"])
def test_every_visible_character_lies_in_exactly_one_span(text: str) -> None:
    spans = sentence_spans(text)
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_five_megabytes_take_seconds() -> None:
    text = "The boundary layer, cf. Fig. 2, was thin. It grew by 3.5 mm per hour. " * 70_000
    started = time.process_time()
    assert len(sentence_spans(text)) == 140_000
    assert time.process_time() - started < 10
