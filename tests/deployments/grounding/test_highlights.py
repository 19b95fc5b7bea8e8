"""The sentences nearest to a question."""

from deployments.gateway.grounding.highlights import highlights

TEXTS = [
    "How large may a file be?\n\nAn upload may have up to 512 MiB. "
    "A vector store may hold 10,000 files.",
    "A file is tried three times before it is marked as failed. Ray Serve starts it again.",
]


def test_the_sentence_that_shares_most_with_the_question_comes_first() -> None:
    best = highlights("How often is a file tried before it is marked as failed?", TEXTS, 2)
    assert best[0] == "A file is tried three times before it is marked as failed."
    assert len(best) == 2


def test_questions_and_titles_are_passed_over() -> None:
    assert "How large may a file be?" not in highlights("How large may a file be?", TEXTS, 5)


def test_sentences_that_share_nothing_are_not_highlights() -> None:
    assert highlights("Who painted the ceiling?", TEXTS, 3) == []
