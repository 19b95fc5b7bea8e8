"""A topic's requests as rows."""

from cluster.records import Feedback, Trace
from deployments.drift.dataset import topic_rows


def trace(
    name: str, question: str, *, answer: str | None = "Said.", refused: bool = False
) -> Trace:
    return Trace(
        id=name, question=question, answer=answer, status=200, refused=refused, route="r", body={}
    )


def said(name: str, of: str, **more: object) -> dict[str, list[Feedback]]:
    row = Feedback(
        **{
            "id": name,
            "trace_id": of,
            "review": "accepted",
            "updated_at": 1,
            **more,
        }
    )
    return {of: [row]}


def test_an_eval_set_has_each_question_once_and_marks_drafts() -> None:
    traces = [trace("t1", "Why?"), trace("t2", "why? "), trace("t3", "How?", refused=True)]
    found = topic_rows(traces, said("f1", "t1", correction="So."), "eval", drafts=True)
    assert found.rows == [
        {
            "question": "Why?",
            "answer": "So.",
            "draft": False,
            "metadata": {"trace": "t1", "feedback": "f1"},
        },
        {"question": "How?", "answer": "Said.", "draft": True, "metadata": {"trace": "t3"}},
    ]
    assert (found.drafts, found.sources) == (1, ["t1", "f1", "t3"])


def test_a_training_set_has_accepted_answers_alone_unless_drafts_are_wanted() -> None:
    traces = [trace("t1", "Why?"), trace("t2", "How?"), trace("t3", "When?", refused=True)]
    praise = said("f1", "t1", thumbs="up")
    found = topic_rows(traces, praise, "fine-tune", drafts=False)
    assert found.rows == [
        {
            "messages": [
                {"role": "user", "content": "Why?"},
                {"role": "assistant", "content": "Said."},
            ],
            "metadata": {"trace": "t1", "feedback": "f1"},
        }
    ]
    more = topic_rows(traces, praise, "fine-tune", drafts=True)
    assert [row["metadata"]["trace"] for row in more.rows] == ["t1", "t2"]


def test_what_was_not_accepted_teaches_nothing() -> None:
    traces = [trace("t1", "Why?")]
    for more in ({"review": "pending"}, {"review": "rejected"}, {"correction": None}):
        feedback = said("f1", "t1", **{"correction": "So.", **more})
        assert topic_rows(traces, feedback, "fine-tune", drafts=False).rows == []
