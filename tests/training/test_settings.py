"""What may stand in a run's YAML file."""

from pathlib import Path

import pytest

from training.errors import PlanError
from training.settings import read_settings


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = "name: a\nmodel: ./model\ndata: {train: data.jsonl}\n"
    settings = read_settings(settings_file(tmp_path, text))
    assert settings.data.train == tmp_path / "data.jsonl"
    assert settings.model == str(tmp_path / "model")
    assert settings.folder == tmp_path / "runs" / "a"
    assert settings.data.validation is None


def test_every_problem_is_listed_with_its_key_and_value(tmp_path: Path) -> None:
    text = "name: a\ndata: {train: x}\nadapter: {kind: ia3, rank: 0}\nlerning_rate: 1\n"
    with pytest.raises(PlanError) as caught:
        read_settings(settings_file(tmp_path, text))
    said = str(caught.value)
    assert "3 problems" in said
    assert "adapter.kind = 'ia3'" in said
    assert "adapter.rank = 0" in said
    assert "lerning_rate: Extra inputs" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("batch: {max_tokens: 4096}", "row_tokens 2048 is below batch.max_tokens 4096"),
        ("method: dpo\nadapter: {kind: full}", "method dpo needs an adapter"),
        ("validation: {patience: 2}", "validation.patience needs data.validation"),
        ("workers: {min: 3, max: 2}", "must be in order"),
        ("workers: {min: 0, max: 2}", "or both 0"),
        ("parallel: {offload: cpu}", "offload cpu needs parallel.kind zero1"),
        ("parallel: {kind: zero2}\nworkers: {min: 0, max: 0}", "workers.max 0 has none"),
        ("parallel: {kind: zero3}\nadapter: {kind: qlora}", "cannot cut qlora's 4-bit weights"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path: Path, more: str, words: str) -> None:
    text = f"name: a\ndata: {{train: x}}\n{more}\n"
    with pytest.raises(PlanError, match=words):
        read_settings(settings_file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [("[1]", "not a mapping"), ("a: [", "not YAML"), ("", "name: Field required")],
)
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        read_settings(settings_file(tmp_path, text))


@pytest.mark.parametrize(
    ("more", "rate"),
    [
        ("", 2e-4),
        ("adapter: {kind: full}", 2e-5),
        ("method: dpo", 5e-5),
        ("optimizer: {learning_rate: 0.5}", 0.5),
    ],
)
def test_the_learning_rate_follows_from_what_is_trained(
    tmp_path: Path, more: str, rate: float
) -> None:
    text = f"name: a\ndata: {{train: x}}\n{more}\n"
    assert read_settings(settings_file(tmp_path, text)).learning_rate == rate
