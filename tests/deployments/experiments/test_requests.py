"""Requests of an experiment, read from the records."""

from typing import Any

import pytest

from cluster.database import Database
from cluster.records import Feedback, Trace, TraceScore
from deployments.experiments.plan import Metric
from deployments.experiments.requests import Seen, id_at, read_seen, read_values, time_of

START = 1_800_000_000.0


def trace(number: int, **more: Any) -> Trace:
    """A request that began `number` seconds after the start."""
    given = {
        "id": f"{id_at(START + number)}{number:019x}",
        "request_id": f"req_{number}",
        "route": "/v1/chat/completions",
        "status": 200,
        "experiment_id": "exp_1",
        "arm": "control",
        "created_at": int(START) + number,
    }
    return Trace(**{**given, **more})


def written(database: Database, *rows: Any) -> list[Seen]:
    with database.session() as session:
        session.add_all(rows)
    with database.session(read_only=True) as session:
        return read_seen(session, "exp_1", id_at(START))


def values(database: Database, metric: Metric, seen: list[Seen]) -> dict[str, float]:
    with database.session(read_only=True) as session:
        by_id = read_values(session, metric, seen)
    return {one.unit: by_id[one.id] for one in seen if one.id in by_id}


def test_an_id_tells_when_its_request_began() -> None:
    assert time_of(id_at(START + 0.25)) == START + 0.25
    assert id_at(START) < trace(0).id < id_at(START + 0.001)


@pytest.mark.parametrize(
    ("columns", "error", "empty", "refused"),
    [
        ({}, False, False, None),
        ({"status": 503}, True, None, None),
        ({"status": 400, "error_code": "context_length_exceeded"}, True, None, None),
        ({"status": 400, "error_code": "invalid_prompt_variable"}, True, None, None),
        ({"status": 400, "error_code": "invalid_value"}, False, False, None),
        ({"body": {"empty_answer": True}}, False, True, None),
        ({"refused": True}, False, False, True),
    ],
)
def test_faults_of_a_request(
    database: Database,
    columns: dict[str, Any],
    error: bool,
    empty: bool | None,
    refused: bool | None,
) -> None:
    (one,) = written(database, trace(0, **columns))
    assert (one.fault("error"), one.fault("empty"), one.fault("refused")) == (error, empty, refused)


def test_facts_of_a_trace_are_values(database: Database) -> None:
    known = trace(0, user_id="u", duration_ms=12.5, prompt_tokens=7, completion_tokens=2)
    seen = written(database, known, trace(1), trace(2, arm=None), trace(3, status=429))
    assert [one.unit for one in seen] == ["u", "req_1", "req_3"]
    tokens = Metric(name="trace:tokens", high=100)
    assert values(database, tokens, seen) == {"u": 9.0}
    latency = Metric(name="trace:latency_ms", high=100)
    assert values(database, latency, seen) == {"u": 12.5, "req_1": 0.0}


def test_a_score_counts_that_came_in_time(database: Database) -> None:
    scored = [
        TraceScore(
            trace_id=trace(number).id,
            name=name,
            value=value,
            evaluator="e",
            created_at=int(START) + number + after,
        )
        for number, name, value, after in [
            (0, "quality", 0.5, 3),
            (1, "quality", 0.6, 11),
            (2, "quality", None, 3),
            (3, "other", 0.7, 3),
        ]
    ]
    seen = written(database, *map(trace, range(4)), *scored)
    metric = Metric(name="score:quality", wait_s=10.0)
    assert values(database, metric, seen) == {"req_0": 0.5}


def test_the_first_feedback_counts_thumbs_as_0_and_1(database: Database) -> None:
    said = [
        Feedback(
            id=f"fb_{place}",
            trace_id=trace(number).id,
            name=name,
            thumbs=thumbs,
            score=score,
            created_at=int(START) + number + after,
        )
        for place, (number, name, thumbs, score, after) in enumerate(
            [
                (0, "help", "up", None, 5),
                (0, "help", "down", None, 6),
                (1, "help", "down", None, 5),
                (2, "help", "down", 0.75, 5),
                (3, "help", None, None, 5),
                (4, "help", "up", None, 4000),
                (5, "other", "up", None, 5),
            ]
        )
    ]
    seen = written(database, *map(trace, range(6)), *said)
    assert values(database, Metric(name="feedback:help"), seen) == {
        "req_0": 1.0,
        "req_1": 0.0,
        "req_2": 0.75,
    }
