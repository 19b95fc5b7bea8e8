"""What is read of a trace."""

import pytest

from cluster.records import Feedback, Trace
from deployments.drift.signals import feedback_value, observe


def trace(**more: object) -> Trace:
    return Trace(
        **{
            "id": "trace_1",
            "status": 200,
            "question": " Why? ",
            "answer": "Because.",
            "refused": False,
            "body": {},
            "cost": None,
            "duration_ms": 250.0,
            "created_at": 5,
            **more,
        }
    )


def test_what_does_not_apply_is_not_there() -> None:
    found = observe(trace(), None)
    assert found.question == "Why?"
    assert found.values == {"answer_length": 8.0, "refusals": 0.0, "latency": 0.25}


def test_scores_sentences_cost_and_feedback_are_read() -> None:
    body = {
        "passages": [{"dense_score": 0.5, "score": 1.0}, {"dense_score": 0.7, "score": 0.4}],
        "left_out": [{"dense_score": 0.2}],
        "sentences": [
            {"checkable": True, "supported": True},
            {"checkable": True, "supported": False},
            {"checkable": False, "supported": False},
        ],
    }
    found = observe(trace(body=body, cost=0.01), 0.5).values
    assert found["retrieval_score"] == 0.7
    assert (found["unsupported"], found["cost"], found["feedback"]) == (0.5, 0.01, 0.5)


def test_a_search_that_found_nothing_scores_zero() -> None:
    assert observe(trace(body={"passages": []}), None).values["retrieval_score"] == 0.0


@pytest.mark.parametrize(
    ("rows", "value"),
    [([], None), ([("up", None)], 1.0), ([("up", None), ("down", 0.9), (None, 0.5)], 0.5)],
)
def test_thumbs_and_scores_are_one_number(
    rows: list[tuple[str | None, float | None]], value: float | None
) -> None:
    said = [Feedback(id="fb", trace_id="t", thumbs=thumbs, score=score) for thumbs, score in rows]
    assert feedback_value(said) == value
