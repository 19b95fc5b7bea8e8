"""Fixtures of the queue's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.databases import database, database_url
from tests.training.queue.place import Place
from tests.training.tiny import tiny_chat_folder

__all__ = ["database", "database_url", "model", "place"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def place(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path / "data", model, monkeypatch)
    yield made
    made.database.close()
