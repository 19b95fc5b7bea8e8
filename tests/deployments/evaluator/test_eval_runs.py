"""From stored runs to what is read: real metrics, a judge, reports and comparisons."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.database import Database
from deployments.errors import InvalidRequest, NotFound, Overloaded
from deployments.evaluation.runs.callers import ModelRoutes, Reply
from deployments.evaluation.runs.policy import Limits
from deployments.evaluation.runs.verdicts import StoredVerdicts
from deployments.evaluation.runs.worker import RunWorker
from deployments.evaluation.toolbox import Toolbox
from deployments.evaluator.grading import grade_answer
from deployments.evaluator.reports import compare_stored, report_run
from deployments.evaluator.tools import PatientVectors
from tests.fakes.eval_runs import CHECK, FakeApi, Scene
from tests.fakes.parts import FakeEmbedder

pytest.importorskip("deployments.evaluation.metrics.registry")
pytest.importorskip("deployments.evaluation.graders.models")
pytest.importorskip("deployments.evaluation.reports.page")

GIVEN = {"type": "jsonl", "source": {"type": "file_content", "content": []}}
CRITERIA: list[dict[str, Any]] = [
    CHECK,
    {
        "type": "metric",
        "name": "rouge",
        "metric": "rouge_l",
        "reference": "{{item.answer}}",
        "pass_threshold": 0.5,
    },
    {"type": "metric", "name": "bleu", "metric": "bleu", "reference": "{{item.answer}}"},
    {
        "type": "label_model",
        "name": "judge",
        "model": "m",
        "input": [{"role": "user", "content": "Is {{sample.output_text}} a town?"}],
        "labels": ["yes", "no"],
        "passing_labels": ["yes"],
    },
    {
        "type": "multi",
        "name": "both",
        "graders": {"check": CHECK},
        "calculate_output": "check * 2",
    },
]


class JudgingApi(FakeApi):
    """A model that says «yes» to every question, in the shape that a judge asks for."""

    async def chat(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.bodies.append(body)
        message = {"role": "assistant", "content": "yes"}
        return {"model": "m@1", "choices": [{"message": message, "finish_reason": "stop"}]}

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        raise AssertionError("the answers are given")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    opened = Database(f"sqlite:///{tmp_path / 'records.db'}", pool_size=2)
    opened.migrate()
    yield Scene(opened, JudgingApi())
    opened.close()


def toolbox(scene: Scene) -> Toolbox:
    return Toolbox(
        embedder=PatientVectors(FakeEmbedder(), 1.0),
        models=cast(Any, scene.api),
        cache=StoredVerdicts(scene.database, days=9, most=99),
    )


async def done_run(scene: Scene, right: int) -> str:
    """A run of 30 items of which the first `right` are answered well."""
    items = [{"question": f"q{n}", "answer": f"the town of number {n}"} for n in range(30)]
    given = [
        {"output_text": item["answer"] if n < right else "no idea", "seconds": 1.0}
        for n, item in enumerate(items)
    ]
    run_id = scene.add_run(items, criteria=CRITERIA, data_source=GIVEN, given=given)
    tools = toolbox(scene)
    worker = RunWorker(scene.ledger, cast(ModelRoutes, scene.api), tools, Limits(4, 16), lease_s=30)
    await worker.work_off()
    return run_id


async def test_every_kind_of_grader_scores_a_run(scene: Scene) -> None:
    run_id = await done_run(scene, right=20)
    run = scene.run(run_id)
    assert (run.status, run.error) == ("completed", None)
    graders = {row["name"]: row for row in (run.summary or {})["graders"]}
    assert graders["right"]["mean"] == pytest.approx(2 / 3)
    assert (graders["rouge"]["passed"], graders["rouge"]["failed"]) == (20, 10)
    assert graders["bleu"]["figures"], "corpus BLEU is no mean of the items'"
    assert graders["both"]["mean"] == pytest.approx(4 / 3)
    assert (graders["judge"]["mean"], graders["judge"]["judge"]["items"]) == (1.0, 30)
    asked = len(scene.api.bodies)
    await done_run(scene, right=20)
    assert len(scene.api.bodies) - asked <= 1, "verdicts of the same questions are recalled"


async def test_a_run_that_was_just_deleted_is_not_found(scene: Scene) -> None:
    with pytest.raises(NotFound, match="No such run: evalrun_gone"):
        await report_run(scene.database, "evalrun_gone")
    run_id = await done_run(scene, right=20)
    with pytest.raises(NotFound):
        await compare_stored(scene.database, run_id, "evalrun_gone", {})


async def test_a_run_is_reported_as_json_and_as_a_page(scene: Scene) -> None:
    made = await report_run(scene.database, await done_run(scene, right=20))
    named = {row["name"]: row for row in made.report["graders"]}
    assert named["right"]["mean"] == pytest.approx(2 / 3)
    assert (named["right"]["passed"], made.report["items"]) == (20, 30)
    assert "rouge" in made.page and "<html" in made.page.lower()


async def test_two_runs_are_compared_item_by_item(scene: Scene) -> None:
    worse, better = await done_run(scene, right=5), await done_run(scene, right=25)
    made = await compare_stored(scene.database, worse, better, {"resamples": 200})
    metrics = {row["grader"]: row for row in made.report["metrics"]}
    assert metrics["right"]["difference"] == pytest.approx(20 / 30)
    assert metrics["right"]["verdict"] == "better"
    assert "right" in made.page
    with pytest.raises(InvalidRequest) as caught:
        await compare_stored(scene.database, worse, better, {"alpha": 7})
    assert caught.value.param == "alpha"


async def test_one_answer_is_graded_at_once(scene: Scene) -> None:
    graded = await grade_answer(CHECK, {"answer": "Paris"}, "Paris", toolbox(scene))
    assert (graded.value, graded.passed, graded.error) == (1.0, True, None)
    graded = await grade_answer(CHECK, {}, "Paris", toolbox(scene))
    assert (graded.error or {})["code"] == "template_error"


async def test_a_busy_embedder_is_waited_for_within_patience() -> None:
    embedder = FakeEmbedder(failure=Overloaded("full"))
    vectors = PatientVectors(embedder, patience_s=0.05, pause_s=0.01)
    with pytest.raises(Overloaded):
        await vectors.vectors(["a"])
    embedder.failure = None
    assert len(await vectors.vectors(["a"] * 300)) == 300
