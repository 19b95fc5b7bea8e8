"""The whole loop as a person walks it, with the `openai` client and the command line alone.

A document is asked, answers are corrected, the corrections become rows, the rows an adapter; the
gate promotes it, its answers are better, and lead back to the corrections that taught it.
"""

import json
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.end_to_end.loop import (
    MODEL,
    TIMEOUT_S,
    Improved,
    Taught,
    answer,
    ask,
    ask_traced,
    everloop,
    improved,
    question,
    rows,
    taught,
    upload,
    wait_for,
)
from tests.end_to_end.test_documents import citations
from tests.fixtures.system import System

__all__ = ["improved", "taught"]

pytestmark = pytest.mark.end_to_end


def held_out_score(client: openai.OpenAI, model: str, eval_id: str, file: str) -> float:
    """Share of the held-out questions that are answered rightly, by a run of the eval."""
    run = client.evals.runs.create(
        eval_id,
        data_source={
            "type": "completions",
            "source": {"type": "file_id", "id": file},
            "model": model,
            "input_messages": {
                "type": "template",
                "template": [{"role": "user", "content": "{{item.question}}"}],
            },
            "sampling_params": {"max_completion_tokens": 8, "temperature": 0},
        },
    )
    ended = wait_for(
        lambda: client.evals.runs.retrieve(run.id, eval_id=eval_id),
        lambda run: run.status in {"completed", "failed", "canceled"},
    )
    assert ended.result_counts.errored == 0
    return float(ended.result_counts.passed / ended.result_counts.total)


@pytest.mark.timeout(2 * TIMEOUT_S, func_only=False)
def test_an_answer_from_a_document_is_cited_and_corrected_ones_become_rows(
    client: openai.OpenAI, taught: Taught
) -> None:
    assert {cited.file_id for cited in citations(taught.grounded)} == {taught.document}
    lines = client.files.content(taught.training_file).text.splitlines()
    found = [json.loads(line) for line in lines]
    assert {(question(row), answer(row)) for row in found} == {
        (question(row), answer(row)) for row in rows()[:40]
    }
    assert [row["metadata"]["feedback"] for row in found] == list(taught.feedback)


@pytest.mark.timeout(2 * TIMEOUT_S, func_only=False)
def test_the_gate_promotes_what_is_better(client: openai.OpenAI, improved: Improved) -> None:
    assert improved.gate["verdict"] == "promote", improved.gate
    assert improved.gate["promoted"], improved.gate
    assert improved.gate["champion"] == MODEL
    found = improved.gate["report"]["evidence"]["comparison"]
    assert (found["metric"], found["test"]) == ("right label", "McNemar, exact")  # the Evaluator's
    assert found["candidate"] > 0.8
    assert "<svg" in client.get(f"/gate_runs/{improved.gate['id']}/page", cast_to=str)
    history: Any = client.get("/aliases/assistant/history", cast_to=object)
    assert history["data"][0]["gate"] == improved.gate["id"]


@pytest.mark.timeout(TIMEOUT_S, func_only=False)
def test_held_out_questions_are_answered_better_through_the_alias(
    client: openai.OpenAI, improved: Improved
) -> None:
    items = [
        json.dumps({"item": {"question": question(row), "answer": answer(row)}})
        for row in rows()[40:]
    ]
    file = upload(client, items, "held-out.jsonl", "evals")
    properties = {name: {"type": "string"} for name in ("question", "answer")}
    made = client.evals.create(
        name="sorts",
        data_source_config={
            "type": "custom",
            "item_schema": {"type": "object", "properties": properties},
            "include_sample_schema": True,
        },
        testing_criteria=[
            {
                "type": "string_check",
                "name": "right label",
                "input": "{{sample.output_text}}",
                "reference": "{{item.answer}}",
                "operation": "eq",
            }
        ],
    )
    base = held_out_score(client, MODEL, made.id, file)
    alias = held_out_score(client, "assistant", made.id, file)
    assert base <= 0.1
    assert alias >= 0.8


def test_a_new_answer_leads_back_to_the_feedback_that_taught_it(
    client: openai.OpenAI, system: System, taught: Taught, improved: Improved
) -> None:
    new = ask_traced(client, "assistant", question(rows()[40]))
    found: Any = client.get(f"/lineage/{new}", cast_to=object)
    ids = {node["id"] for node in found["nodes"]}
    assert set(taught.feedback) <= ids
    assert set(taught.traces) <= ids
    assert {
        improved.job.fine_tuned_model,
        improved.gate["id"],
        improved.job.id,
        taught.training_file,
        taught.document,
    } <= ids
    assert found["truncated"] is False
    edges = {(edge["source"], edge["target"]) for edge in found["edges"]}
    assert (taught.traces[0], taught.feedback[0]) in edges
    assert (taught.feedback[0], taught.training_file) in edges

    shown = everloop(system, "lineage", new, "--type", "feedback")
    assert {node["id"] for node in shown["nodes"][1:]} == set(taught.feedback)
    for start in (taught.document, taught.training_file):
        reached = everloop(system, "lineage", start, "--forward")
        ids = {node["id"] for node in reached["nodes"]}
        assert {improved.job.fine_tuned_model, "assistant", new, *improved.job.result_files} <= ids


def test_the_alias_answers_by_the_adapter_and_the_base_as_before(
    client: openai.OpenAI, improved: Improved
) -> None:
    adapter = improved.job.fine_tuned_model
    assert ask(client, "assistant") == (adapter, "sort:animal")
    assert ask(client, adapter, "taxi") == (adapter, "sort:vehicle")
    model, text = ask(client, MODEL)
    assert model == MODEL
    assert "sort:" not in text
    with pytest.raises(openai.NotFoundError):
        ask(client, f"ft:{MODEL}:sorts:000000000000")


def test_grounded_answers_come_from_the_adapter_too(
    client: openai.OpenAI, improved: Improved, store: str
) -> None:
    text = b"A sheep is an animal that gives wool. Sheep are kept on the hill farm."
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("sheep.txt", text))
    answer = client.responses.create(
        model="assistant",
        input="What does a sheep give?",
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
    )
    assert answer.model == improved.job.fine_tuned_model
    assert answer.output_text


def test_the_job_tells_its_steps_checkpoints_and_results(
    client: openai.OpenAI, improved: Improved
) -> None:
    job = improved.job
    events: list[Any] = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
    steps = [event.data["step"] for event in reversed(events) if event.type == "metrics"]
    assert steps == list(range(1, 11))
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert {row.step_number for row in checkpoints} >= {10}
    assert job.fine_tuned_model in {row.fine_tuned_model_checkpoint for row in checkpoints}
    names = {client.files.retrieve(file).filename: file for file in job.result_files}
    assert {"step_metrics.csv", "report.html", "receipt.json"} <= names.keys()
    table = client.files.content(names["step_metrics.csv"]).text.splitlines()
    assert table[0].startswith("step,train_loss")
    assert len(table) == 11
    assert job.trained_tokens > 0


def test_an_adapter_says_where_it_comes_from(client: openai.OpenAI, improved: Improved) -> None:
    adapter: Any = client.get(f"/adapters/{improved.job.fine_tuned_model}", cast_to=object)
    lineage = adapter["lineage"]
    assert lineage["job"] == improved.job.id
    assert lineage["training_file"]["id"] == improved.job.training_file
    assert len(adapter["base_revision"]) == 64
    assert lineage["receipt"]["rows"] == 40
    assert adapter["aliases"] == ["assistant"]


def test_the_command_line_shows_exports_and_rolls_back(
    system: System, client: openai.OpenAI, improved: Improved, tmp_path: Path
) -> None:
    listed = system.everloop("adapters", "--json")
    assert improved.job.fine_tuned_model in listed.stdout
    out = tmp_path / "merged"
    exported = system.everloop(
        "export", improved.job.fine_tuned_model, "--out", str(out), "--json", timeout_s=280
    )
    assert exported.returncode == 0, exported.stderr
    assert (out / "model.safetensors").is_file()

    collected = system.everloop("data", "traces", "--out", str(tmp_path / "rows.jsonl"))
    assert collected.returncode == 0, collected.stderr
    row = json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0])
    assert row["metadata"]["trace"].startswith("trace_")

    began = time.monotonic()
    back = system.everloop("rollback", "--json")
    assert back.returncode == 0, back.stderr
    assert time.monotonic() - began < 30  # seconds of a person, on a busy machine; see hot_swap
    assert json.loads(back.stdout)["target"] == MODEL
    assert ask(client, "assistant")[0] == MODEL


def test_a_file_with_faults_is_refused_with_all_of_them(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        upload(client, ['{"messages": []}', "no json", '{"prompt": 1}'], "bad.jsonl")
    body: Any = caught.value.body
    assert {problem["line"] for problem in body["problems"]} == {1, 2, 3}
