"""A run of an eval on the real system: answers are asked for, graded, and survive a kill."""

import json
from collections import Counter
from typing import Any

import openai
import pytest

from tests.fixtures.faults import kill, until
from tests.fixtures.system import System

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"
ITEMS = 24


def test_a_run_killed_in_the_middle_ends_with_a_result_for_every_item(
    client: openai.OpenAI, system: System
) -> None:
    rows = [
        {"item": {"question": f"Say the word number {n}.", "answer": f"number {n}"}}
        for n in range(ITEMS)
    ]
    text = "\n".join(map(json.dumps, rows))
    file = client.files.create(file=("words.jsonl", text.encode()), purpose="evals")
    criteria: list[Any] = [
        {
            "type": "string_check",
            "name": "holds",
            "input": "{{sample.output_text}}",
            "reference": "{{item.answer}}",
            "operation": "ilike",
        },
        {
            "type": "metric",
            "name": "rouge",
            "metric": "rouge_l",
            "reference": "{{item.answer}}",
            "pass_threshold": 0.0,
        },
    ]
    schema: dict[str, object] = {
        "type": "object",
        "properties": {"question": {"type": "string"}, "answer": {"type": "string"}},
        "required": ["question", "answer"],
    }
    made = client.evals.create(
        name="words",
        data_source_config={"type": "custom", "item_schema": schema, "include_sample_schema": True},
        testing_criteria=criteria,
    )
    run = client.evals.runs.create(
        made.id,
        data_source={
            "type": "completions",
            "source": {"type": "file_id", "id": file.id},
            "model": MODEL,
            "input_messages": {
                "type": "template",
                "template": [{"role": "user", "content": "{{item.question}}"}],
            },
            "sampling_params": {"max_completion_tokens": 6, "temperature": 0},
        },
    )

    def counts() -> Any:
        return client.evals.runs.retrieve(run.id, eval_id=made.id).result_counts

    until(lambda: counts().passed + counts().failed >= 4, 60)
    assert counts().passed + counts().failed + counts().errored < ITEMS
    kill(system.data_dir, "ServeReplica:everloop:Evaluator")
    until(lambda: client.evals.runs.retrieve(run.id, eval_id=made.id).status == "completed", 120)

    ended = client.evals.runs.retrieve(run.id, eval_id=made.id)
    assert (ended.result_counts.total, ended.result_counts.errored) == (ITEMS, 0)
    assert ended.result_counts.passed + ended.result_counts.failed == ITEMS
    assert [row.testing_criteria for row in ended.per_testing_criteria_results] == [
        "holds",
        "rouge",
    ]
    [usage] = ended.per_model_usage
    assert (usage.run_model_name, usage.invocation_count) == (MODEL, ITEMS)
    items = list(client.evals.runs.output_items.list(run.id, eval_id=made.id, limit=100))
    assert Counter(item.datasource_item_id for item in items) == Counter(range(ITEMS))
    first = items[0]
    assert first.sample.output[0].content
    assert [result.name for result in first.results] == ["holds", "rouge"]
    assert 0 <= first.results[1].score <= 1
