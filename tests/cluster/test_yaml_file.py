"""YAML files of people: what they hold, and how a bad one is refused."""

from pathlib import Path

import pytest

from cluster.errors import SettingsError
from cluster.yaml_file import read_mapping


@pytest.mark.parametrize(
    ("text", "held"), [("a: {b: [1, é]}", {"a": {"b": [1, "é"]}}), ("", {}), ("# later\n", {})]
)
def test_a_mapping_is_read(tmp_path: Path, text: str, held: object) -> None:
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    assert read_mapping(tmp_path / "a.yaml", "The config", SettingsError) == held


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"a: [", "is not YAML: "),
        (b"a: \xff", "is not YAML: "),
        (b"[1]", "holds a list, not a mapping."),
        (b"0", "holds a int, not a mapping."),
    ],
)
def test_what_is_none_is_refused_by_name(tmp_path: Path, data: bytes | None, says: str) -> None:
    path = tmp_path / "a.yaml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(SettingsError) as caught:
        read_mapping(path, "The config", SettingsError, fix="Give another.")
    assert caught.value.message.startswith(f"The config {path} {says}")
    assert caught.value.fix == "Give another."
