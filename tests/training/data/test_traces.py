"""Rows from traces: what is taken, what is left out, and where it came from."""

from typing import Any

import pytest

from training.data.forms import check_form
from training.data.traces import TraceRule, rows_of_traces

RULE = TraceRule({"groundedness": 0.8})


def trace(**changes: Any) -> dict[str, Any]:
    return {
        "id": "trace_1",
        "status": 200,
        "route": "/v1/responses",
        "model": "m",
        "question": "Why?",
        "answer": "Because.",
        "refused": False,
        "scores": [{"name": "groundedness", "value": 0.9}],
        **changes,
    }


def test_a_good_answer_becomes_a_row_that_names_its_trace() -> None:
    (row,) = rows_of_traces([trace()], RULE)
    assert row == {
        "messages": [
            {"role": "user", "content": "Why?"},
            {"role": "assistant", "content": "Because."},
        ],
        "metadata": {"trace": "trace_1", "route": "/v1/responses", "model": "m"},
    }
    problems: list[tuple[str, str]] = []
    check_form(row, "chat", lambda *problem: problems.append(problem))
    assert problems == []


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 499},
        {"answer": " "},
        {"question": None},
        {"refused": True},
        {"scores": []},
        {"scores": [{"name": "groundedness", "value": None}]},
        {"scores": [{"name": "groundedness", "value": 0.79}]},
    ],
)
def test_what_is_no_good_answer_is_left_out(changes: dict[str, Any]) -> None:
    assert list(rows_of_traces([trace(**changes)], RULE)) == []


def test_refusals_are_taken_where_they_are_wanted() -> None:
    assert len(list(rows_of_traces([trace(refused=True)], TraceRule(refusals=True)))) == 1


def test_of_a_question_the_first_that_comes_is_taken() -> None:
    found = rows_of_traces([trace(answer="new"), trace(answer="old")], RULE)
    assert [row["messages"][1]["content"] for row in found] == ["new"]
