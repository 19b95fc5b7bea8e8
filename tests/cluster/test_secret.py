"""The installation's secret."""

from pathlib import Path

import pytest

from cluster.errors import SettingsError
from cluster.secret import installation_secret
from cluster.settings import Settings, resolve_settings


def test_the_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    made = installation_secret(settings)
    assert len(made) == 64
    assert installation_secret(settings) == made
    path = tmp_path / "data" / "secret.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == ["secret.key"]


def test_replicas_that_make_the_secret_at_once_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    first = installation_secret(settings)
    monkeypatch.setattr("cluster.secret._read", lambda _path: b"")  # came too early
    assert installation_secret(settings) == first


def test_the_secret_can_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data_dir=tmp_path)
    monkeypatch.setenv("EVERLOOP_SECRET", "0123456789abcdef")
    assert installation_secret(settings) == b"0123456789abcdef"
    assert not (tmp_path / "secret.key").exists()
    monkeypatch.setenv("EVERLOOP_SECRET", "short")
    with pytest.raises(SettingsError, match="5 characters"):
        installation_secret(settings)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="EVERLOOP_SECRET"):
        installation_secret(Settings(data_dir=tmp_path / "file"))


def test_its_variable_is_no_unknown_setting() -> None:
    resolve_settings(environ={"EVERLOOP_SECRET": "0123456789abcdef"})
