"""The file with this machine's key."""

import subprocess
from pathlib import Path

import pytest

from cluster.client import key_for
from cluster.key_file import KeyFile, key_file_path, read_key_file, write_key_file

URL = "http://127.0.0.1:8000/v1"


def test_it_is_for_its_owner_s_eyes_and_a_shell_reads_it(tmp_path: Path) -> None:
    content = KeyFile(URL, "sk-el-a'b c$d")
    path = write_key_file(tmp_path, content)
    assert path == key_file_path(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["env"]
    script = '. "$0"; printf %s "$OPENAI_BASE_URL|$OPENAI_API_KEY|$EVERLOOP_API_KEY"'
    said = subprocess.run(
        ["sh", "-c", script, path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == f"{URL}|{content.key}|{content.key}"
    assert read_key_file(tmp_path) == content


@pytest.mark.parametrize("text", ["", "export OPENAI_BASE_URL=x", "EVERLOOP_API_KEY='x", "{}"])
def test_what_is_no_such_file_is_none(tmp_path: Path, text: str) -> None:
    key_file_path(tmp_path).write_text(text)
    assert read_key_file(tmp_path) is None


def test_its_key_goes_to_its_own_address_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    monkeypatch.delenv("EVERLOOP_API_KEY", raising=False)
    assert key_for(URL) is None
    write_key_file(tmp_path, KeyFile(URL, "sk-el-ours"))
    assert key_for(URL) == key_for(f"{URL}/") == "sk-el-ours"
    assert key_for("http://127.0.0.1:8001/v1") is None
    assert key_for("https://api.example/v1") is None
    monkeypatch.setenv("EVERLOOP_API_KEY", "sk-el-named")
    assert key_for("https://api.example/v1") == "sk-el-named"
