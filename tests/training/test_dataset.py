"""The rows of a run, curated before they become tokens."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.training.data.samples import jsonl
from tests.training.tiny import tiny_chat_folder
from training.errors import DatasetError, ExampleError, PlanError
from training.preflight import PreparedRun, prepare_run
from training.settings import DataSettings, TrainingSettings, read_settings

ASKED = [
    "Where is the card that I ordered?",
    "My transfer has not arrived, what now?",
    "How do I change the PIN of a lost card?",
    "Can someone else top up this account?",
    "Which countries do you support at present?",
    "The exchange rate on my statement looks wrong.",
    "Is there a fee for cash withdrawals abroad?",
    "Please close my account for good.",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat_folder(tmp_path_factory.mktemp("tiny"))


def write(path: Path, questions: Sequence[str]) -> str:
    """A file of conversations, with a blank line before each: lines are not the rows' numbers."""
    rows = [
        {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": "Yes."}]}
        for asked in questions
    ]
    path.write_bytes(b"\n" + jsonl(*rows).getvalue().replace(b"\n", b"\n\n"))
    return str(path)


def prepare(model: Path, say: Any = print, **data: Any) -> PreparedRun:
    settings = TrainingSettings.model_validate(
        {
            "name": "run",
            "model": str(model),
            "data": data,
            "batch": {"max_tokens": 256, "row_tokens": 256},
            "workers": {"min": 0, "max": 0},
        }
    )
    return prepare_run(settings, model / "cache", say=say)


def test_a_curated_run_trains_on_what_is_left_and_keeps_the_receipt(
    model: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    train = write(tmp_path / "train.jsonl", [*ASKED, ASKED[0].upper(), ASKED[1] + "?"])
    evaluation = write(tmp_path / "gate.jsonl", [ASKED[7]])
    curation = {"split": {"validation_share": 0.15}, "near_duplicates": {"threshold": 0.7}}
    run = prepare(model, said.append, train=train, evaluation=evaluation, curation=curation)
    assert run.receipt is not None
    stages = {stage.stage: stage.examples for stage in run.receipt.stages}
    assert [removal.line for removal in stages["decontamination"]] == [16]
    assert [(r.line, r.reason) for r in stages["exact_duplicates"]] == [(18, "duplicate of line 2")]
    assert [(r.line, r.reason) for r in stages["near_duplicates"]] == [(20, "duplicate of line 4")]
    assert (run.receipt.train_rows, run.receipt.validation_rows) == (6, 1)
    assert (len(run.train), len(run.validation)) == (6, 1)
    assert (run.counts.examples, run.validation_counts and run.validation_counts.examples) == (6, 1)
    assert "curating 10 rows" in said
    assert run.receipt.outcome == (
        "10 rows, 1 removed by decontamination, 1 removed by exact duplicates, "
        "1 removed by near duplicates, 6 to train on, 1 to validate"
    )


def test_without_curation_every_row_is_trained_on(model: Path, tmp_path: Path) -> None:
    run = prepare(model, train=write(tmp_path / "train.jsonl", [ASKED[0]] * 4))
    assert (len(run.train), run.receipt) == (4, None)


def test_masked_data_is_another_run(model: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", [*ASKED, "Write to jane.doe@example.com, please."])
    no_split = {"split": {"validation_share": 0}}
    plain = prepare(model, train=train, curation=no_split)
    masked = prepare(model, train=train, curation={"personal_data": {}, **no_split})
    assert plain.plan.fingerprint != masked.plan.fingerprint
    assert masked.receipt is not None
    assert masked.receipt.outcome.startswith("9 rows, 1 changed by personal data")


def test_a_validation_file_takes_the_place_of_the_split(model: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ASKED[:6])
    run = prepare(
        model, train=train, validation=write(tmp_path / "v.jsonl", ASKED[6:]), curation={}
    )
    assert (len(run.train), len(run.validation)) == (6, 2)


def test_data_of_which_nothing_is_left_names_the_stage(model: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ASKED[:3])
    with pytest.raises(PlanError, match=r"none of the 3 rows.*lengths removed 3.*data\.curation"):
        prepare(model, train=train, curation={"lengths": {"min_tokens": 1000}})


def test_a_row_that_the_template_refuses_is_named_by_its_line(model: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ASKED[:3])
    template = tmp_path / "refusing.jinja"
    template.write_text(
        "{% for m in messages %}{% if 'PIN' in m.content %}{{ raise_exception('no PIN') }}"
        "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    settings = TrainingSettings.model_validate(
        {
            "name": "run",
            "model": str(model),
            "chat_template": str(template),
            "data": {"train": train},
            "batch": {"max_tokens": 256, "row_tokens": 256},
        }
    )
    with pytest.raises(ExampleError, match=r"Line 6: .*no PIN"):
        prepare_run(settings, tmp_path)


def test_a_fault_in_the_evaluation_set_is_told(model: Path, tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", ASKED[:3])
    (tmp_path / "gate.jsonl").write_text("[]")
    with pytest.raises(DatasetError, match="line 1"):
        prepare(model, train=train, curation={}, evaluation=str(tmp_path / "gate.jsonl"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"curation": {}, "validation_share": 0.1}, "curation.split.validation_share"),
        ({"evaluation": "gate.jsonl"}, "evaluation needs curation"),
        ({"evaluation": "g", "curation": {"decontamination": None}}, "evaluation needs curation"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    data: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSettings.model_validate({"train": "train.jsonl", **data})


def test_patience_takes_the_split_of_curation(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        json.dumps(
            {
                "name": "run",
                "data": {"train": "train.jsonl", "curation": {}, "evaluation": "gate.jsonl"},
                "validation": {"patience": 2},
            }
        )
    )
    assert read_settings(tmp_path / "job.yaml").data.evaluation == tmp_path / "gate.jsonl"
