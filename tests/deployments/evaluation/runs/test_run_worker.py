"""Runs end with one result for every item, whoever works on them and whatever happens."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import pytest
from sqlalchemy import delete, update

from cluster.errors import ApiError
from cluster.records import EvalItem, EvalRun, now
from cluster.tenancy import acting_in, restricted_to
from deployments.evaluation.runs.callers import ModelRoutes, Reply
from deployments.evaluation.runs.ledger import ItemResult, RunLedger
from deployments.evaluation.runs.policy import Limits
from deployments.evaluation.runs.worker import RunWorker
from deployments.evaluation.toolbox import Toolbox
from tests.fakes.eval_runs import ASK, FakeApi, Scene, questions, until

GIVEN = {"type": "jsonl", "source": {"type": "file_content", "content": []}}


async def test_a_run_is_answered_graded_and_added_up(scene: Scene) -> None:
    items = [*questions(3), {"question": "odd", "answer": "even"}]
    run_id = scene.add_run(items)
    await scene.worker().work_off()
    run = scene.run(run_id)
    assert (run.status, run.error) == ("completed", None)
    assert run.started_at is not None and run.finished_at is not None
    done = scene.items(run_id)
    assert [item.outcome for item in done] == ["pass", "pass", "pass", "fail"]
    assert done[0].scores == {"right": {"value": 1.0, "passed": True, "detail": {}}}
    sample = done[0].sample or {}
    assert (sample["output_text"], sample["model"], sample["seconds"]) == ("Q0", "m@1", 0.5)
    assert (sample["trace_id"], sample["completion_tokens"]) == ("trace_1", 1)
    assert sample["input"] == [{"role": "user", "content": "q0"}]
    summary = run.summary or {}
    assert summary["counts"] == {"total": 4, "passed": 3, "failed": 1, "errored": 0}
    [grader] = summary["graders"]
    assert (grader["name"], grader["mean"], grader["passed"], grader["failed"]) == (
        "right",
        0.75,
        3,
        1,
    )
    assert (grader["binary"], grader["metric"]) == (True, "string_check")
    assert summary["per_model_usage"] == [
        {
            "model_name": "m@1",
            "invocation_count": 4,
            "prompt_tokens": 12,
            "completion_tokens": 4,
            "cached_tokens": 0,
            "total_tokens": 16,
        }
    ]
    assert summary["seconds"]["p95"] == 0.5


async def test_answers_that_are_given_are_not_asked_for(scene: Scene) -> None:
    given = [{"output_text": "Q0", "passages": [{"text": "p", "document": "d"}]}, None]
    run_id = scene.add_run(questions(2), data_source=GIVEN, given=given)
    await scene.worker().work_off()
    first, second = scene.items(run_id)
    assert (first.outcome, second.outcome) == ("pass", "error")
    assert (second.error or {})["code"] == "template_error"
    assert "has no answer" in (second.error or {})["message"]
    assert (first.sample or {})["passages"] == [{"text": "p", "document": "d", "cited": False}]
    assert scene.api.asked == []
    assert scene.run(run_id).status == "completed"


async def test_two_workers_share_a_run_and_never_do_an_item_twice(scene: Scene) -> None:
    run_id = scene.add_run(questions(60))
    await asyncio.gather(*(scene.worker(concurrency=6).work_off() for _ in range(3)))
    assert {item.outcome for item in scene.items(run_id)} == {"pass"}
    assert Counter(scene.api.asked) == Counter(f"q{n}" for n in range(60))
    assert scene.run(run_id).status == "completed"
    assert (scene.run(run_id).summary or {})["counts"]["total"] == 60


async def test_what_a_dead_worker_held_is_done_by_another(scene: Scene) -> None:
    run_id = scene.add_run(questions(5))
    lost = await scene.ledger.claim(run_id, 3)
    await scene.worker().work_off()
    assert scene.run(run_id).status == "in_progress"
    assert [item.status for item in scene.items(run_id)] == ["running"] * 3 + ["done"] * 2
    _lapse(scene, run_id)
    await scene.worker().work_off()
    assert scene.run(run_id).status == "completed"
    late = [ItemResult(item.id, item.attempt, "fail", None, {}, None) for item in lost.items]
    assert await scene.ledger.write(late) == 0, "a result of an attempt that counts no more"
    assert [item.outcome for item in scene.items(run_id)] == ["pass"] * 5
    assert [item.attempts for item in scene.items(run_id)] == [2, 2, 2, 1, 1]


async def test_a_run_that_was_done_when_its_worker_died_is_ended(scene: Scene) -> None:
    run_id = scene.add_run(questions(2), data_source=GIVEN, given=[{"output_text": "Q0"}] * 2)
    claimed = await scene.ledger.claim(run_id, 2)
    done = [ItemResult(item.id, item.attempt, "pass", None, {}, None) for item in claimed.items]
    assert await scene.ledger.write(done) == 2
    assert scene.run(run_id).status == "in_progress"
    await asyncio.gather(scene.worker().work_off(), scene.worker().work_off())
    assert scene.run(run_id).status == "completed"


async def test_an_item_that_kills_its_worker_is_written_off_in_the_end(scene: Scene) -> None:
    scene.max_attempts = 2
    run_id = scene.add_run(questions(2))
    for _ in range(2):
        await scene.ledger.claim(run_id, 1)
        _lapse(scene, run_id)
    await scene.worker().work_off()
    first, second = scene.items(run_id)
    assert (first.outcome, (first.error or {})["code"]) == ("error", "worker_lost")
    assert second.outcome == "pass"
    assert scene.run(run_id).status == "completed"


async def test_an_item_that_fails_costs_the_others_nothing(scene: Scene) -> None:
    items = [*questions(4), {"question": "q9"}]

    def says(question: str) -> str:
        if question == "q2":
            raise ApiError("refused: too long", status=400)
        return question.upper()

    scene.api.says = says
    run_id = scene.add_run(items)
    await scene.worker().work_off()
    outcomes = [item.outcome for item in scene.items(run_id)]
    assert outcomes == ["pass", "pass", "error", "pass", "error"]
    errors = [item.error for item in scene.items(run_id) if item.error]
    assert [error["code"] for error in errors] == ["api_error", "template_error"]
    assert "item.answer" in errors[1]["message"]
    run = scene.run(run_id)
    assert run.status == "completed"
    assert [(row["code"], row["count"]) for row in (run.summary or {})["errors"]] == [
        ("api_error", 1),
        ("template_error", 1),
    ]


async def test_a_run_whose_items_all_fail_fails_with_the_reason(scene: Scene) -> None:
    def says(question: str) -> str:
        raise ApiError("no such model", status=404)

    scene.api.says = says
    run_id = scene.add_run(questions(3))
    await scene.worker().work_off()
    run = scene.run(run_id)
    assert (run.status, (run.error or {})["code"]) == ("failed", "every_item_failed")
    assert "no such model" in (run.error or {})["message"]


async def test_a_run_with_a_grader_that_cannot_be_built_fails(scene: Scene) -> None:
    run_id = scene.add_run(questions(1), criteria=[{"type": "python", "name": "x"}])
    other = scene.add_run(questions(1))
    await scene.worker().work_off()
    run = scene.run(run_id)
    assert (run.status, (run.error or {})["code"]) == ("failed", "spec_error")
    assert scene.run(other).status == "completed"


@pytest.mark.parametrize("how", ["canceled", "deleted"])
async def test_a_cancel_is_heard_while_items_are_under_way(
    scene: Scene, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.evaluation.runs.worker._WATCH_S", 0.02)
    run_id = scene.add_run(questions(9))
    scene.api.go.clear()
    loop = asyncio.create_task(scene.worker(concurrency=4).run())
    await until(lambda: len(scene.api.asked) == 4)
    with scene.database.session() as session:
        if how == "canceled":
            session.execute(update(EvalRun).values(status="canceled", finished_at=now()))
        else:
            session.execute(delete(EvalItem))
            session.execute(delete(EvalRun))
    other = scene.add_run([{"question": "other", "answer": "OTHER"}])
    await until(lambda: "other" in scene.api.asked)
    scene.api.go.set()
    await until(lambda: scene.run(other).status == "completed")
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert len(scene.api.asked) == 5, "nothing more is asked for the run that was stopped"
    assert {item.outcome for item in scene.items(run_id)} <= {None}


async def test_a_worker_that_is_stopped_gives_its_items_back_at_once(scene: Scene) -> None:
    run_id = scene.add_run(questions(6))
    scene.api.go.clear()
    loop = asyncio.create_task(scene.worker(concurrency=4).run())
    await asyncio.wait_for(scene.api.begun.wait(), 10)
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert {item.status for item in scene.items(run_id)} == {"queued"}
    scene.api.go.set()
    await scene.worker().work_off()
    assert scene.run(run_id).status == "completed"


async def test_leases_are_renewed_while_an_answer_takes_long(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.evaluation.runs.worker._WATCH_S", 0.02)
    run_id = scene.add_run(questions(2))
    scene.api.go.clear()
    worker = scene.worker()
    worker._lease_s = 0.03
    loop = asyncio.create_task(worker.run())
    await until(lambda: len(scene.api.asked) == 2)
    with scene.database.session() as session:
        session.execute(update(EvalItem).values(lease_until=now() + 9))
    await until(lambda: all((item.lease_until or 0) > now() + 9 for item in scene.items(run_id)))
    scene.api.go.set()
    await until(lambda: scene.run(run_id).status == "completed")
    loop.cancel()
    await asyncio.gather(loop, return_exceptions=True)
    assert [item.attempts for item in scene.items(run_id)] == [1, 1]


async def test_an_answer_by_responses_brings_its_passages(scene: Scene) -> None:
    source = {
        **ASK,
        "type": "responses",
        "sampling_params": {
            "max_completion_tokens": 9,
            "tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}],
        },
    }
    found = [
        {"text": "24 months.", "filename": "a.pdf", "passage_id": "p1"},
        {"text": "Comets.", "filename": "b.pdf", "passage_id": "p2"},
    ]
    note = {"type": "file_citation", "passage_id": "p1"}
    part = {"type": "output_text", "text": "Q0", "annotations": [note]}

    class Api(FakeApi):
        async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
            assert path == "/responses"
            self.bodies.append(body)
            output = [
                {"type": "file_search_call", "results": found},
                {"type": "message", "content": [part]},
            ]
            usage = {"input_tokens": 5, "output_tokens": 2}
            grounding = {"refused": False, "trace_id": "t"}
            answer = {"model": "m", "output": output, "usage": usage, "grounding": grounding}
            return Reply(answer, "t", 0.1)

    scene.api = Api()
    run_id = scene.add_run(questions(1), data_source=source)
    await scene.worker().work_off()
    [item] = scene.items(run_id)
    sample = item.sample or {}
    assert sample["passages"] == [
        {"text": "24 months.", "document": "a.pdf", "cited": True},
        {"text": "Comets.", "document": "b.pdf", "cited": False},
    ]
    assert (item.outcome, sample["prompt_tokens"], sample["refused"]) == ("pass", 5, False)
    [body] = scene.api.bodies
    assert (body["max_output_tokens"], body["store"]) == (9, False)
    assert body["include"] == ["file_search_call.results"]


async def test_an_answer_with_what_a_database_refuses_is_kept_without_it(scene: Scene) -> None:
    scene.api.says = lambda question: "a\x00b\ud800"
    run_id = scene.add_run(questions(1))
    await scene.worker().work_off()
    [item] = scene.items(run_id)
    assert (item.outcome, (item.sample or {})["output_text"]) == ("fail", "a\ufffdb?")


def _lapse(scene: Scene, run_id: str) -> None:
    with scene.database.session() as session:
        session.execute(
            update(EvalItem)
            .where(EvalItem.run_id == run_id, EvalItem.status == "running")
            .values(lease_until=now() - 1)
        )


async def test_a_run_is_asked_for_in_its_own_project(scene: Scene) -> None:
    runs = {}
    for project in ("proj_a", "proj_b"):
        with acting_in(project):
            runs[project] = scene.add_run([{"question": project, "answer": project.upper()}])
    seen: dict[str, str | None] = {}

    def says(question: str) -> str:
        seen[question] = restricted_to()
        return question.upper()

    scene.api.says = says
    await scene.worker().work_off()
    assert seen == {"proj_a": "proj_a", "proj_b": "proj_b"}
    assert {scene.run(run_id).status for run_id in runs.values()} == {"completed"}


async def test_a_run_that_gets_done_while_another_is_closed_is_closed_too(scene: Scene) -> None:
    slow, quick = (
        scene.add_run([{"question": "slow", "answer": "SLOW"}]),
        scene.add_run([{"question": "quick", "answer": "QUICK"}]),
    )
    closing = asyncio.Event()

    class Api(FakeApi):
        async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
            if body["messages"][-1]["content"] == "slow":
                await closing.wait()
            return await super().post(path, body)

    class Ledger(RunLedger):
        async def is_done(self, run_id: str) -> bool:
            if run_id == quick:
                closing.set()
                await until(lambda: scene.items(slow)[0].status == "done")
                await until(lambda: len(asyncio.all_tasks()) == 1)
            return await super().is_done(run_id)

    scene.api = Api()
    worker = RunWorker(
        Ledger(scene.database, scene.lease_s, scene.max_attempts),
        cast(ModelRoutes, scene.api),
        Toolbox(cast(Any, None), cast(Any, None), cast(Any, None)),
        Limits(4, 8),
        lease_s=scene.lease_s,
    )
    await worker.work_off()
    assert [scene.run(run_id).status for run_id in (slow, quick)] == ["completed"] * 2
