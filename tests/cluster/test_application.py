"""What is deployed, as who starts Everloop sees it."""

import logging
import os
import threading
from pathlib import Path

import pytest

from cluster.errors import LaunchError
from cluster.launch import application
from cluster.settings import Settings

_BUILDER = """
import logging
import os

logging.root.setLevel(logging.DEBUG)  # as `ray.serve.llm` does when it is imported

def build(settings):
    return os.environ["VLLM_LOGGING_LEVEL"]
"""


def test_who_starts_it_does_not_hear_what_building_it_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "levels_at_build.py").write_text(_BUILDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(application, "_BUILDER", "levels_at_build:build")
    level = logging.root.level
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "INFO")
    assert str(application._build(Settings())) == "INFO"  # who asks for more gets it
    monkeypatch.delenv("VLLM_LOGGING_LEVEL")
    assert str(application._build(Settings())) == "ERROR"
    del os.environ["VLLM_LOGGING_LEVEL"]
    assert logging.root.level == level


def test_who_waits_for_the_application_hears_that_ray_ended_though_it_answers_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, told = threading.Event(), list[str]()
    monkeypatch.setattr("ray.serve.start", lambda **_: None)
    monkeypatch.setattr("ray.serve.run", lambda *_, **__: over.wait(30))
    monkeypatch.setattr(application, "_build", lambda _settings: None)
    # Ray does not answer: neither this, nor who would tell a replica's state.
    monkeypatch.setattr(application, "deployment_states", lambda: over.wait(30) and [])

    def check() -> None:
        if told:
            raise LaunchError("Ray ended.")

    with pytest.raises(LaunchError, match=r"Ray ended\."):
        application.deploy(Settings(), told.append, timeout_s=20, check=check)
    over.set()
    assert told == ["building"]
