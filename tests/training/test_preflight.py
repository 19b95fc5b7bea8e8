"""What is known to fail is said before anything is started."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.errors import ModelSourceError
from tests.training.tiny import chats, tiny_chat_folder
from training.errors import PlanError
from training.examples import ChatExample, Example, PreferenceExample
from training.preflight import PreparedRun, prepare_run
from training.settings import TrainingSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat_folder(tmp_path_factory.mktemp("tiny"))


def prepare(folder: Path, examples: Sequence[Example], **changes: object) -> PreparedRun:
    settings = TrainingSettings.model_validate(
        {
            "name": "run",
            "model": str(folder),
            "data": {"train": "data.jsonl"},
            "batch": {"max_tokens": 256, "row_tokens": 256},
            **changes,
        }
    )
    return prepare_run(settings, folder / "cache", read=lambda _path, _columns: examples)


def test_a_run_that_can_work_is_counted(folder: Path) -> None:
    run = prepare(folder, chats(40), epochs=2, data={"train": "x", "validation_share": 0.1})
    assert (len(run.train), len(run.validation)) == (36, 4)
    assert run.counts.samples == run.counts.examples == 40
    assert run.modules == 14
    assert run.steps == 2 * 3
    assert run.counts.trained_tokens < run.counts.tokens


def test_the_split_follows_from_the_seed(folder: Path) -> None:
    data = {"train": "x", "validation_share": 0.1}
    held_out = [
        prepare(folder, chats(40), data=data, seed=seed).validation.digest() for seed in (1, 1, 2)
    ]
    assert held_out[0] == held_out[1] != held_out[2]


def test_a_run_is_known_again_by_what_shapes_it(folder: Path) -> None:
    first = prepare(folder, chats(20)).plan.fingerprint
    elsewhere = {"name": "other", "workers": {"max": 4}, "checkpoint_every": 3}
    assert prepare(folder, chats(20), **elsewhere).plan.fingerprint == first
    assert prepare(folder, chats(20), seed=1).plan.fingerprint != first
    assert prepare(folder, chats(21)).plan.fingerprint != first


def test_an_unknown_model_is_refused(folder: Path) -> None:
    with pytest.raises(ModelSourceError, match="no packaged model"):
        prepare(folder, chats(4), model="packaged:none")


def test_a_target_that_the_model_lacks_is_refused(folder: Path) -> None:
    with pytest.raises(PlanError, match=r"adapter\.target_modules names c_attn"):
        prepare(folder, chats(4), adapter={"target_modules": ["c_attn"]})


def test_more_tokens_than_the_context_are_refused(folder: Path) -> None:
    with pytest.raises(PlanError, match=r"max_tokens is 1024.*context of 512.*512 or less"):
        prepare(folder, chats(4), batch={"max_tokens": 1024, "row_tokens": 1024})


def test_data_without_a_trained_token_is_refused(folder: Path) -> None:
    silent = [ChatExample(chat.messages, (0.0, 0.0)) for chat in chats(3)]
    with pytest.raises(PlanError, match=r"None of the 3 examples.*weight is not 0"):
        prepare(folder, silent)


def test_data_whose_answers_are_all_cut_off_is_refused_with_the_length_it_has(
    folder: Path,
) -> None:
    with pytest.raises(PlanError, match=r"None of the 3.*first 8\. Raise.*longest example has 3\d"):
        prepare(folder, chats(3), batch={"max_tokens": 8})


def test_no_data_is_refused(folder: Path) -> None:
    with pytest.raises(PlanError, match="holds no example"):
        prepare(folder, [])


def test_data_of_the_other_method_is_refused(folder: Path) -> None:
    (chat,) = chats(1)
    question, answer = chat.messages
    pair = PreferenceExample((question,), (answer,), ({"role": "assistant", "content": "No."},))
    with pytest.raises(PlanError, match=r"1 of the 2 .*`method: supervised`"):
        prepare(folder, [chat, pair], method="dpo")
    with pytest.raises(PlanError, match=r"1 of the 2 .*`method: dpo`"):
        prepare(folder, [chat, pair])


def test_more_memory_than_this_machine_has_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = {"workers": {"min": 0, "max": 0}}
    need = prepare(folder, chats(4), **alone).need
    monkeypatch.setattr("training.preflight._free", lambda _settings: need.total - 1)
    with pytest.raises(
        PlanError, match=r"needs about 0\.7 GiB.*this machine.*row_tokens` \(now 256"
    ):
        prepare(folder, chats(4), **alone)
    assert prepare(folder, chats(4)).need == need, "a cluster's machines may differ from this one"


def test_the_longest_row_decides_the_memory(folder: Path) -> None:
    def activations(**batch: object) -> int:
        sizes = {"max_tokens": 256, "row_tokens": 512, "examples": 4, **batch}
        return prepare(folder, chats(4), batch=sizes).need.activations

    assert activations() == 4 * activations(packing=False)
    assert activations(examples=2) == 2 * activations(packing=False)
    assert activations(max_tokens=32, row_tokens=32) < activations(packing=False)


def test_a_gpu_that_is_not_there_is_refused_in_this_process_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(PlanError, match="finds no GPU"):
        prepare(folder, chats(4), workers={"min": 0, "max": 0, "gpu": True})
    assert prepare(folder, chats(4), workers={"gpu": True}).workers.gpu
