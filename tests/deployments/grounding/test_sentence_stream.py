"""Sentences of a growing text."""

import pytest

from deployments.gateway.grounding.sentence_stream import SentenceStream
from ingestion.sentences import sentence_spans

TEXTS = [
    "The sky is blue. The grass is green. It rains.",
    "Dr. Smith came at 3.5 p.m. on Monday. He left.",
    "- first item\n- second item\n\nA paragraph. And more",
    "",
    "No end",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pieces_give_the_sentences_of_the_whole(text: str, size: int) -> None:
    stream = SentenceStream()
    spans = []
    for start in range(0, len(text), size):
        spans += stream.feed(text[start : start + size])
    assert spans + stream.finish() == sentence_spans(text)


def test_a_sentence_is_given_once_the_next_has_a_word() -> None:
    stream = SentenceStream()
    assert stream.feed("The sky is blue.") == []
    assert stream.feed(" The") == []
    assert stream.feed(" grass") == [(0, 16)]
