"""The offline twin: one run for each arm, each compared with the control's."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from cluster.client import openai_client
from deployments.evaluation.suites.reading import read_suite
from deployments.evaluation.suites.service import EvalService
from deployments.experiments.offline import compare_arms
from tests.fakes.openai_api import running_fake_api

SUITE = """\
name: capitals
data: capitals.jsonl
answers:
  messages:
    - {role: system, content: Answer briefly.}
    - {role: user, content: "What is the capital of {{item.country}}?"}
graders:
  - {type: string_check, name: right, operation: ilike,
     input: "{{sample.output_text}}", reference: "{{item.city}}"}
"""


def test_each_arm_is_asked_by_its_name_and_compared_with_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.evaluation.suites.following._POLL_S", 0.01)
    rows = [{"country": "France", "city": "Paris"}, {"country": "Japan", "city": "Tokyo"}]
    (tmp_path / "capitals.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    with running_fake_api() as api, openai_client(api.url) as client:
        arms = ["control", "new", "other"]
        console = Console(file=(tmp_path / "said").open("w"))
        found = compare_arms(EvalService(client), "exp_1", arms, read_suite(path), console)
        asked = [body["data_source"]["model"] for body in api.evals.bodies]
        compared = api.evals.comparisons
        evals = len(api.evals.evals)
    assert asked == ["arm:exp_1:control", "arm:exp_1:new", "arm:exp_1:other"]
    assert evals == 1
    assert [(one.arm, one.run_id) for one in found] == [
        ("new", "evalrun_2"),
        ("other", "evalrun_3"),
    ]
    assert [(one["baseline"], one["candidate"]) for one in compared] == [
        ("evalrun_1", "evalrun_2"),
        ("evalrun_1", "evalrun_3"),
    ]
