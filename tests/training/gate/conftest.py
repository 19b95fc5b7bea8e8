"""A tiny base with two adapters, made once."""

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.training.gate.serving import random_adapter
from tests.training.tiny import tiny_chat_folder

__all__ = ["Weights", "weights"]


class Weights(NamedTuple):
    """Folders."""

    base: Path
    adapter: Path
    other: Path


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    place = tmp_path_factory.mktemp("weights")
    base = tiny_chat_folder(place / "base")
    adapter = random_adapter(base, place / "adapter", seed=1)
    return Weights(base, adapter, random_adapter(base, place / "other", seed=2))
