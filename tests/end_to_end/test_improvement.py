"""The improvement path as a person walks it: upload, train, gate, ask the alias, roll back."""

import json
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import openai
import pytest

from tests.fixtures.system import System

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"
_TIMEOUT_S: Final = 420
_THINGS: Final = {
    "animal": ("dog", "cat", "horse", "cow", "sheep", "goat", "pig", "hen", "duck", "fox"),
    "vehicle": ("car", "bus", "truck", "train", "bicycle", "tram", "boat", "ship", "van", "taxi"),
}
_GRADER: Final = {
    "type": "metric",
    "name": "right label",
    "metric": "exact_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}
_ASKED: Final = ("What sort of thing is a {}?", "Sort this for me: {}.", "And a {}, what is it?")


@dataclass(frozen=True)
class Improved:
    """What the one long run of this module left."""

    job: Any
    gate: dict[str, Any]


def rows() -> list[str]:
    """Sixty examples in an order that is always the same."""
    found = [
        {
            "messages": [
                {"role": "user", "content": asked.format(thing)},
                {"role": "assistant", "content": f"sort:{label}"},
            ]
        }
        for asked in _ASKED
        for label, things in _THINGS.items()
        for thing in things
    ]
    random.Random(3).shuffle(found)
    return [json.dumps(row) for row in found]


def upload(client: openai.OpenAI, lines: list[str], name: str) -> str:
    data = ("\n".join(lines) + "\n").encode()
    return client.files.create(file=(name, data), purpose="fine-tune").id


def ask(client: openai.OpenAI, model: str, thing: str = "sheep") -> tuple[str, str]:
    """Who answered, and what."""
    answer = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": _ASKED[0].format(thing)}],
        max_tokens=12,
        temperature=0,
    )
    return answer.model, (answer.choices[0].message.content or "").strip()


@pytest.fixture(scope="module")
def improved(client: openai.OpenAI) -> Improved:
    """A job whose adapter the gate has promoted."""
    lines = rows()
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=upload(client, lines[:40], "train.jsonl"),
        suffix="sorts",
        seed=1,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
        extra_body={
            "evaluation_file": upload(client, lines[40:], "evaluation.jsonl"),
            "alias": "assistant",
            "training": {
                "optimizer": {"learning_rate": 1e-3},
                "batch": {"examples": 8, "max_tokens": 128, "row_tokens": 512},
            },
            "gate": {
                "parity_items": 2,
                "grader": _GRADER,
                "bounds": {"latency_median": 3, "latency_p95": 5},
            },
        },
    )
    ended = wait_for(
        lambda: client.fine_tuning.jobs.retrieve(job.id),
        lambda job: job.status in {"succeeded", "failed", "cancelled"},
    )
    said = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    assert ended.status == "succeeded", said
    gate_id = ended.model_extra["gate_run"]
    gate: dict[str, Any] = wait_for(
        lambda: client.get(f"/gate_runs/{gate_id}", cast_to=object),
        lambda gate: gate["status"] in {"completed", "failed"} and settled(gate),
    )
    return Improved(ended, gate)


def settled(gate: dict[str, Any]) -> bool:
    """Whether the promotion that the verdict allows was made, or failed."""
    return gate["verdict"] != "promote" or gate["promoted"] or gate["error"] is not None


def wait_for(look: Any, good: Any) -> Any:
    until = time.monotonic() + _TIMEOUT_S
    while not good(found := look()):
        assert time.monotonic() < until, found
        time.sleep(1)
    return found


@pytest.mark.timeout(2 * _TIMEOUT_S, func_only=False)
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
    assert steps == list(range(1, 16))
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert {row.step_number for row in checkpoints} >= {15}
    assert job.fine_tuned_model in {row.fine_tuned_model_checkpoint for row in checkpoints}
    names = {client.files.retrieve(file).filename: file for file in job.result_files}
    assert {"step_metrics.csv", "report.html", "receipt.json"} <= names.keys()
    table = client.files.content(names["step_metrics.csv"]).text.splitlines()
    assert table[0].startswith("step,train_loss")
    assert len(table) == 16
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
