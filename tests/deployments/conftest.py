"""Fixtures that several deployments' tests share."""

import pytest

from cluster.models import ensure_model
from cluster.settings import load_settings
from tests.fakes.embedder import MiniLmEmbedder


@pytest.fixture(scope="session")
def minilm() -> MiniLmEmbedder:
    """The packaged embedding model."""
    settings = load_settings()
    return MiniLmEmbedder(ensure_model("packaged:all-minilm-l6-v2", settings.cache_dir))
