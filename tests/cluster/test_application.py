"""What is deployed, as who starts Everloop sees it."""

import os
from pathlib import Path

import pytest

from cluster.launch import application
from cluster.settings import Settings

_USUAL = {"VLLM_LOGGING_LEVEL": "ERROR", "SAGEMAKER_CONTAINER_LOG_LEVEL": "WARNING"}
_BUILDER = f"""
import os

def build(settings):
    return {{name: os.environ[name] for name in {list(_USUAL)}}}
"""


def test_who_starts_it_hears_neither_more_nor_less_for_what_vllm_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "levels_at_build.py").write_text(_BUILDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(application, "_BUILDER", "levels_at_build:build")
    asked = dict.fromkeys(_USUAL, "INFO")
    for name in _USUAL:
        monkeypatch.setenv(name, "INFO")
    assert application._build(Settings()) == asked  # who asks for more gets it
    for name in _USUAL:
        monkeypatch.delenv(name)
    assert application._build(Settings()) == _USUAL
    for name in _USUAL:
        del os.environ[name]
