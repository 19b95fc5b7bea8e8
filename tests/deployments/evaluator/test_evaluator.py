"""Scoring of sampled answers, over real records."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.database import Database
from cluster.records import Trace, TraceScore
from deployments.errors import Unavailable
from deployments.evaluator.evaluator import EVALUATOR, Evaluator
from deployments.evaluator.metrics import as_metric
from tests.fakes.embedder import MiniLmEmbedder
from tests.fakes.parts import FakeEmbedder

PASSAGES = [
    {"text": "The warranty lasts 24 months from the day of purchase.", "filename": "a.pdf"},
    {"text": "Comets are icy bodies that orbit the sun.", "filename": "b.pdf"},
]


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=2)
    opened.migrate()
    yield opened
    opened.close()


def _trace(trace_id: str, answer: str | None, **more: Any) -> Trace:
    body = {"evaluate": True, "passages": PASSAGES, "refused": False, **more.pop("body", {})}
    fields: dict[str, Any] = {
        "id": trace_id,
        "request_id": trace_id,
        "route": "/v1/responses",
        "status": 200,
        "question": "How long does the warranty last?",
        "answer": answer,
        "prompt_version": "grounded_answer@1",
        "body": body,
    }
    return Trace(**{**fields, **more})


def _write(records: Database, *traces: Trace) -> None:
    with records.session() as session:
        session.add_all(traces)


def _scores(records: Database, trace_id: str) -> dict[str, TraceScore]:
    with records.session(read_only=True) as session:
        rows = session.query(TraceScore).filter_by(trace_id=trace_id)
        return {row.name: row for row in rows}


async def test_an_answer_is_scored_and_the_scores_say_who_gave_them(
    records: Database, minilm: MiniLmEmbedder
) -> None:
    _write(records, _trace("t1", "The warranty lasts 24 months. It also covers theft."))
    evaluator = Evaluator(records, minilm, max_queued=4)
    assert evaluator.submit("t1")
    await evaluator.drain()
    scores = _scores(records, "t1")
    assert scores["groundedness"].value == 0.5
    assert scores["retrieval_precision"].value == 0.5, "one passage of two is on the subject"
    assert (scores["answer_relevance"].value or 0) > 0.5
    assert {score.evaluator for score in scores.values()} == {EVALUATOR}


async def test_an_answer_off_the_subject_is_less_relevant(
    records: Database, minilm: MiniLmEmbedder
) -> None:
    _write(records, _trace("on", "The warranty lasts 24 months."), _trace("off", "Comets are icy."))
    evaluator = Evaluator(records, minilm, max_queued=4)
    on, off = await evaluator.score("on"), await evaluator.score("off")
    assert (on["answer_relevance"] or 0) > (off["answer_relevance"] or 0) + 0.3


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"body": {"refused": True}}, "refused"),
        ({"question": None}, "store_text"),
    ],
)
async def test_where_a_score_does_not_apply_it_says_why(
    records: Database, more: dict[str, Any], reason: str
) -> None:
    _write(records, _trace("t1", "I don't know.", **more))
    await Evaluator(records, FakeEmbedder(), max_queued=4).score("t1")
    for score in _scores(records, "t1").values():
        assert score.value is None
        assert reason in score.detail["reason"]


async def test_the_queue_is_bounded_and_says_what_it_dropped(records: Database) -> None:
    evaluator = Evaluator(records, FakeEmbedder(), max_queued=2)
    assert [evaluator.submit(f"t{i}") for i in range(3)] == [True, True, False]
    assert evaluator.counts.dropped == 1


async def test_a_trace_that_is_written_later_is_waited_for(records: Database) -> None:
    evaluator = Evaluator(records, FakeEmbedder(), max_queued=2, pause_s=0.01)
    evaluator.submit("late")
    await asyncio.sleep(0)
    _write(records, _trace("late", "The warranty lasts 24 months."))
    await evaluator.drain()
    assert evaluator.counts.scored == 1


async def test_a_trace_that_never_comes_is_counted_and_the_next_one_scored(
    records: Database,
) -> None:
    _write(records, _trace("there", "The warranty lasts 24 months."))
    evaluator = Evaluator(records, FakeEmbedder(), max_queued=2, pause_s=0.001)
    evaluator.submit("never")
    evaluator.submit("there")
    await evaluator.drain()
    assert (evaluator.counts.failed, evaluator.counts.scored) == (1, 1)


async def test_a_restart_takes_up_sampled_answers_without_scores(records: Database) -> None:
    _write(
        records,
        _trace("old", "The warranty lasts 24 months.", created_at=1),
        _trace("new", "The warranty lasts 24 months."),
        _trace("unsampled", "The warranty lasts 24 months.", body={"evaluate": False}),
        _trace("plain", "Hello.", prompt_version=None),
    )
    first = Evaluator(records, FakeEmbedder(), max_queued=4)
    assert await first.catch_up() == 1
    await first.drain()
    assert _scores(records, "new")
    assert await Evaluator(records, FakeEmbedder(), max_queued=4).catch_up() == 0


async def test_an_embedder_that_is_down_is_tried_again(records: Database) -> None:
    _write(records, _trace("t1", "The warranty lasts 24 months."))
    embedder = FakeEmbedder(failure=Unavailable("down"))
    evaluator = Evaluator(records, embedder, max_queued=2, pause_s=0.01)
    evaluator.submit("t1")
    await asyncio.sleep(0)
    embedder.failure = None
    await evaluator.drain()
    assert evaluator.counts.scored == 1


@pytest.mark.parametrize(
    ("name", "rows", "mean", "skipped"),
    [
        ("groundedness", {"supported": [[True, False], [True], []]}, 0.75, 1),
        (
            "answer_relevance",
            {"question": [[1.0, 0.0], [1.0, 0.0]], "answer": [[1.0, 0.0], [0.0, 1.0]]},
            0.5,
            0,
        ),
        (
            "retrieval_precision",
            {"similarities": [[0.9, 0.1], []], "cited": [[False, False], []]},
            0.5,
            1,
        ),
    ],
)
def test_every_score_is_an_evaluate_metric(
    name: str, rows: dict[str, list[Any]], mean: float, skipped: int
) -> None:
    assert as_metric(name).compute(**rows) == {name: mean, "skipped": skipped}


async def test_scores_belong_to_the_project_of_their_trace(
    records: Database, minilm: MiniLmEmbedder
) -> None:
    _write(records, _trace("theirs", "The warranty lasts 24 months.", project_id="proj_theirs"))
    evaluator = Evaluator(records, minilm, max_queued=4)
    evaluator.submit("theirs")
    await evaluator.drain()
    assert {score.project_id for score in _scores(records, "theirs").values()} == {"proj_theirs"}
