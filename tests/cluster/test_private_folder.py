"""What is kept is for its owner, whichever step makes the folder first."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.database import Database
from cluster.doctor import fatal_checks
from cluster.doctor.machine import check_data_folder
from cluster.key_file import KeyFile, write_key_file
from cluster.launch.run_record import run_dir
from cluster.secret import installation_secret
from cluster.settings import Settings

Step = Callable[[Settings], object]
STEPS: dict[str, Step] = {
    "doctor": lambda settings: fatal_checks(settings, running=False),
    "records": lambda settings: Database(settings.database_url).migrate(),
    "key": lambda settings: write_key_file(settings.data_dir, KeyFile("http://x/v1", "sk-el-x")),
    "secret": installation_secret,
    "run": lambda settings: run_dir(settings.data_dir),
}


@pytest.fixture(autouse=True)
def _usual_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("EVERLOOP_SECRET", raising=False)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize("step", STEPS)
def test_whichever_step_comes_first_the_data_folder_is_for_its_owner(
    step: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "above" / "data", cache_dir=tmp_path / "cache")
    STEPS[step](settings)
    assert settings.data_dir.stat().st_mode & 0o777 == 0o700
    assert check_data_folder(settings.data_dir).status == "ok"


def test_the_doctor_says_when_others_can_look_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    found = check_data_folder(folder)
    assert (found.status, found.advice) == ("warn", f"chmod o-rwx {folder}")
    folder.chmod(0o770)
    assert check_data_folder(folder).status == "ok", "a group may be meant to"
    assert check_data_folder(tmp_path / "none").status == "warn"
