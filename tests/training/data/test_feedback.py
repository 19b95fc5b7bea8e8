"""Rows from feedback: what is taken, what is left out and why, and where it came from."""

import json
import random
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data import feedback as reasons
from training.data.feedback import FeedbackRows, FeedbackRule, rows_of_feedback
from training.data.reading import read_dataset
from training.examples import ChatExample

SFT, DPO = FeedbackRule(), FeedbackRule("dpo")


def on(**changes: Any) -> dict[str, Any]:
    return {
        "id": "trace_1",
        "status": 200,
        "question": "Why?",
        "answer": "No idea.",
        "model": "m",
        "prompt_version": "p@1",
        "messages": None,
        "grounded": False,
        **changes,
    }


def said(number: int = 1, trace: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    trace = trace or on()
    return {
        "id": f"fb_{number}",
        "trace_id": trace["id"],
        "trace": trace,
        "updated_at": number,
        "thumbs": None,
        "score": None,
        "correction": None,
        "review": "accepted",
        **changes,
    }


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


def only(found: FeedbackRows) -> dict[str, Any]:
    (row,) = found.rows
    return row


def test_a_correction_becomes_the_answer() -> None:
    found = rows_of_feedback([said(correction="Because.", thumbs="down")], SFT)
    assert only(found) == {
        "messages": [user("Why?"), assistant("Because.")],
        "metadata": {
            "trace": "trace_1",
            "feedback": "fb_1",
            "model": "m",
            "prompt_version": "p@1",
            "kind": "correction",
        },
    }
    assert (found.feedback, found.taken, found.left_out) == (1, 1, {})


def test_a_thumb_up_takes_the_answer() -> None:
    row = only(rows_of_feedback([said(thumbs="up")], SFT))
    assert row["messages"] == [user("Why?"), assistant("No idea.")]
    assert row["metadata"]["kind"] == "answer"


@pytest.mark.parametrize(
    ("least", "score", "taken"),
    [(0.8, 0.8, 1), (0.8, 0.79, 0), (None, 1.0, 0)],
)
def test_a_score_takes_the_answer_from_the_bound_on(
    least: float | None, score: float, taken: int
) -> None:
    found = rows_of_feedback([said(score=score)], FeedbackRule(least_score=least))
    assert found.taken == len(found.rows) == taken
    assert found.left_out == ({} if taken else {reasons.NO_VERDICT: 1})


def test_a_thumb_goes_before_a_score() -> None:
    found = rows_of_feedback([said(score=1.0, thumbs="down")], FeedbackRule(least_score=0.5))
    assert found.left_out == {reasons.NOTHING_BETTER: 1}


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (said(thumbs="up", review="rejected"), reasons.REJECTED),
        (said(thumbs="up", review="pending"), reasons.PENDING),
        ({**said(thumbs="up"), "trace": None}, reasons.NO_TRACE),
        (said(thumbs="up", trace=on(question=None, answer=None)), reasons.NO_TEXT),
        (said(thumbs="up", trace=on(answer=" ")), reasons.NO_TEXT),
        (said(thumbs="up", trace=on(status=499)), reasons.FAILED),
        (said(), reasons.NO_VERDICT),
        (said(thumbs="down"), reasons.NOTHING_BETTER),
        (
            said(thumbs="up", trace=on(messages=[{"role": "tool", "content": "x"}])),
            reasons.NOT_TEXT,
        ),
        (said(thumbs="up", trace=on(messages=[user("a"), assistant("b")])), reasons.NOT_TEXT),
        (
            said(thumbs="up", trace=on(messages=[{"role": "user", "content": [{"image": 1}]}])),
            reasons.NOT_TEXT,
        ),
    ],
)
def test_what_cannot_be_learned_from_is_left_out_with_its_reason(
    one: dict[str, Any], reason: str
) -> None:
    found = rows_of_feedback([one], SFT)
    assert (found.rows, found.taken, found.left_out) == ((), 0, {reason: 1})


def test_what_waits_is_taken_where_that_is_asked_for_and_the_rejected_never() -> None:
    feedback = [said(1, correction="A."), said(2, review="rejected", thumbs="up")]
    feedback[0]["review"] = "pending"
    found = rows_of_feedback(feedback, FeedbackRule(unreviewed=True))
    assert (found.taken, found.left_out) == (1, {reasons.REJECTED: 1})


def test_a_correction_of_a_request_that_failed_is_taken() -> None:
    found = rows_of_feedback([said(correction="A.", trace=on(status=500, answer=None))], SFT)
    assert only(found)["messages"][-1] == assistant("A.")


def test_a_plain_row_asks_as_the_model_was_asked_and_learns_the_last_answer_only() -> None:
    system = {"role": "system", "content": "Be kind."}
    parts = [{"type": "text", "text": "And"}, {"type": "text", "text": "then?"}]
    messages = [system, user("Hi."), assistant("Hello."), {"role": "user", "content": parts}]
    trace = on(messages=messages, question="And then?")
    row = only(rows_of_feedback([said(thumbs="up", trace=trace)], SFT))
    assert row["messages"] == [
        system,
        user("Hi."),
        assistant("Hello.", weight=0),
        user("And\nthen?"),
        assistant("No idea."),
    ]
    pair = only(rows_of_feedback([said(correction="Then this.", trace=trace)], DPO))
    assert pair["input"]["messages"][2] == assistant("Hello.")


def test_a_grounded_question_stands_alone_unless_passages_are_asked_for() -> None:
    prompt = [user("Passages: the sky is blue.\n\nWhy?")]
    one = said(thumbs="up", trace=on(grounded=True, messages=prompt))
    alone = only(rows_of_feedback([one], SFT))
    whole = only(rows_of_feedback([one], FeedbackRule(with_passages=True)))
    assert alone["messages"][0] == user("Why?")
    assert whole["messages"][0] == prompt[0]
    bare = said(thumbs="up", trace=on(grounded=True))
    found = rows_of_feedback([bare], FeedbackRule(with_passages=True))
    assert found.left_out == {reasons.NO_PROMPT: 1}


def test_a_question_is_taken_once_corrections_first_then_what_was_said_last() -> None:
    feedback = [
        said(1, correction="First."),
        said(2, correction="Second.", trace=on(id="trace_2", question="WHY? ")),
        said(3, thumbs="up", trace=on(id="trace_3", answer="Third.")),
    ]
    found = rows_of_feedback(feedback, SFT)
    assert only(found)["messages"][-1] == assistant("Second.")
    assert (found.taken, found.left_out) == (1, {reasons.OTHER_ANSWER: 2})


def test_all_who_say_the_same_are_named() -> None:
    feedback = [said(1, thumbs="up"), said(2, thumbs="up", trace=on(id="trace_2", model="n"))]
    found = rows_of_feedback(feedback, SFT)
    metadata = only(found)["metadata"]
    assert metadata["trace"] == "trace_1,trace_2"
    assert metadata["feedback"] == "fb_1,fb_2"
    assert metadata["model"] == "n"
    assert (found.taken, found.duplicates) == (2, 1)


def test_an_answer_that_some_call_good_and_others_bad_is_left_out() -> None:
    feedback = [said(1, thumbs="up"), said(2, thumbs="down"), said(3, correction="Because.")]
    for rule in (SFT, DPO):
        found = rows_of_feedback(feedback, rule)
        assert found.conflicts == (("fb_1", "fb_2", "fb_3"),)
        assert found.left_out[reasons.CONFLICT] == 2
    assert only(rows_of_feedback(feedback, SFT))["metadata"]["feedback"] == "fb_3"


def test_a_pair_prefers_the_correction_to_what_it_corrects() -> None:
    found = rows_of_feedback([said(correction="Because.")], DPO)
    assert only(found) == {
        "input": {"messages": [user("Why?")]},
        "preferred_output": [assistant("Because.")],
        "non_preferred_output": [assistant("No idea.")],
        "metadata": {
            "trace": "trace_1",
            "feedback": "fb_1",
            "model": "m",
            "prompt_version": "p@1",
            "kind": "correction",
        },
    }
    assert found.taken == 1


def test_a_pair_prefers_a_good_answer_to_each_bad_one_of_the_same_question() -> None:
    feedback = [
        said(1, thumbs="down"),
        said(2, thumbs="up", trace=on(id="trace_2", answer="Because.", model="n")),
        said(3, thumbs="down", trace=on(id="trace_3", answer="Never.", question="why?")),
    ]
    found = rows_of_feedback(feedback, DPO)
    pairs = [
        (row["preferred_output"][0]["content"], row["non_preferred_output"][0]["content"])
        for row in found.rows
    ]
    assert pairs == [("Because.", "No idea."), ("Because.", "Never.")]
    assert [row["metadata"]["feedback"] for row in found.rows] == ["fb_2,fb_1", "fb_2,fb_3"]
    assert found.rows[0]["metadata"]["model"] == "m"
    assert (found.taken, found.duplicates) == (3, 0)


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (said(thumbs="up"), reasons.NOTHING_WORSE),
        (said(thumbs="down"), reasons.NOTHING_BETTER),
        (said(thumbs="up", correction="Better still."), reasons.NOTHING_WORSE),
        (said(correction="NO IDEA."), reasons.NOTHING_WORSE),
    ],
)
def test_a_pair_needs_a_better_and_a_worse_answer(one: dict[str, Any], reason: str) -> None:
    found = rows_of_feedback([one], DPO)
    assert (found.rows, found.left_out) == ((), {reason: 1})


texts = st.sampled_from(["A.", "B.", "C.", "Why?", " "])
feedback_lists = st.lists(
    st.builds(
        lambda question, answer, thumbs, correction, review, status: {
            "thumbs": thumbs,
            "correction": correction,
            "review": review,
            "trace": on(question=question, answer=answer, status=status),
        },
        texts,
        texts | st.none(),
        st.sampled_from(["up", "down", None]),
        texts | st.none(),
        st.sampled_from(["accepted", "accepted", "pending", "rejected"]),
        st.sampled_from([200, 200, 500]),
    ),
    max_size=12,
)


@given(feedback_lists, st.sampled_from(["sft", "dpo"]), st.booleans(), st.integers())
def test_every_row_is_sound_and_every_piece_is_counted_once(
    drawn: list[dict[str, Any]], form: Any, unreviewed: bool, seed: int
) -> None:
    feedback = []
    for number, changes in enumerate(drawn):
        trace = {**changes.pop("trace"), "id": f"trace_{number:02}"}
        feedback.append(said(number, trace, **changes) | {"id": f"fb_{number:02}"})
    rule = FeedbackRule(form, unreviewed=unreviewed)
    found = rows_of_feedback(feedback, rule)
    assert found.feedback == len(feedback) == found.taken + sum(found.left_out.values())
    named = {i for row in found.rows for i in row["metadata"]["feedback"].split(",")}
    assert len(named) == found.taken
    shuffled = random.Random(seed).sample(feedback, len(feedback))
    assert rows_of_feedback(shuffled, rule) == found
    if found.rows:
        lines = "".join(f"{json.dumps(row)}\n" for row in found.rows)
        read = read_dataset(BytesIO(lines.encode()))
        assert (read.problems, len(read.rows)) == ((), len(found.rows))


def test_only_the_last_answer_carries_loss() -> None:
    messages = [user("Hi."), assistant("Hello."), user("Why?")]
    found = rows_of_feedback([said(thumbs="up", trace=on(messages=messages))], SFT)
    read = read_dataset(BytesIO(json.dumps(only(found)).encode()))
    example = read.rows[0].example
    assert isinstance(example, ChatExample)
    assert example.weights == (0.0, 0.0, 0.0, 1.0)
