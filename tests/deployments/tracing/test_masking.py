"""Personal data in traces, and the places in texts that move with it."""

import functools

from deployments.tracing.draft import TraceDraft
from deployments.tracing.masking import TraceMask
from deployments.tracing.rows import RowMaker

_MAIL = "anna@example.org"


@functools.cache
def _mask() -> TraceMask:
    return TraceMask()


def test_it_is_masked_wherever_a_trace_keeps_text() -> None:
    said = f"Write to {_MAIL} today."
    draft = TraceDraft(
        question=said,
        answer=said,
        body={
            "query": said,
            "input": {"messages": [{"role": "system", "content": said}], "options": {"stop": said}},
            "messages": [{"role": "user", "content": said}],
            "passages": [{"id": "one", "text": said, "score": 0.5}],
            "error": {"message": said, "code": "failed"},
            "metadata": {"who": said},
        },
    )
    values = RowMaker(mask=_mask()).values(draft)
    masked = "Write to <EMAIL_ADDRESS> today."
    assert (values["question"], values["answer"]) == (masked, masked)
    assert _MAIL not in repr(values)
    assert values["body"]["passages"] == [{"id": "one", "text": masked, "score": 0.5}]
    assert draft.question == said, "the request's own draft is left alone"


def test_sentences_and_their_supports_still_point_at_the_same_words() -> None:
    answer = f"Ask {_MAIL} first. It takes ten days."
    passage = f"{_MAIL} says: it takes ten days."
    start, support = answer.index("It"), passage.index("it")
    draft = TraceDraft(
        answer=answer,
        body={
            "passages": [{"text": passage}],
            "sentences": [
                {"start": 0, "end": start - 1, "supports": []},
                {
                    "start": start,
                    "end": len(answer),
                    "supports": [{"passage": 0, "start": support, "end": len(passage)}],
                },
            ],
        },
    )
    values = RowMaker(mask=_mask()).values(draft)
    first, second = values["body"]["sentences"]
    assert values["answer"][first["start"] : first["end"]] == "Ask <EMAIL_ADDRESS> first."
    assert values["answer"][second["start"] : second["end"]] == "It takes ten days."
    found = second["supports"][0]
    text = values["body"]["passages"][0]["text"]
    assert text[found["start"] : found["end"]] == "it takes ten days."


def test_long_texts_are_masked_in_pieces() -> None:
    text = "x " * 4995 + _MAIL + " y" * 6000  # across the end of the first piece
    assert _mask().text(text).text == text.replace(_MAIL, "<EMAIL_ADDRESS>")


def test_places_inside_what_is_masked_move_to_its_start() -> None:
    masked = _mask().text(f"To {_MAIL}.")
    assert [masked.place(at) for at in (0, 3, 9, 19, 20)] == [0, 3, 3, 18, 19]
