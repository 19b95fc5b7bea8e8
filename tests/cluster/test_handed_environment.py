"""A job's variables go through a file of its owner, not through what Ray shows."""

import os
from pathlib import Path

import pytest

from cluster.errors import SettingsError
from cluster.handed_environment import HANDED_VARIABLE, hand_over, take_over


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_what_is_handed_over_is_taken_over(tmp_path: Path) -> None:
    variables = hand_over(tmp_path, {"EVERLOOP_MILVUS__TOKEN": "secret"})
    assert "secret" not in str(variables)
    os.environ.update(variables)
    take_over()
    assert os.environ["EVERLOOP_MILVUS__TOKEN"] == "secret"
    assert HANDED_VARIABLE not in os.environ


def test_only_its_owner_reads_the_file(tmp_path: Path) -> None:
    path = Path(hand_over(tmp_path, {"A": "secret"})[HANDED_VARIABLE])
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_files_stay_few(tmp_path: Path) -> None:
    for number in range(20):
        last = hand_over(tmp_path, {"A": str(number)})[HANDED_VARIABLE]
    files = list(Path(last).parent.iterdir())
    assert Path(last) in files
    assert len(files) == 8


def test_nothing_handed_over_changes_nothing() -> None:
    before = dict(os.environ)
    take_over()
    assert dict(os.environ) == before


def test_a_file_that_this_machine_lacks_is_said(tmp_path: Path) -> None:
    os.environ[HANDED_VARIABLE] = str(tmp_path / "gone.json")
    with pytest.raises(SettingsError, match=r"gone\.json cannot be read") as raised:
        take_over()
    assert "every machine" in str(raised.value)
