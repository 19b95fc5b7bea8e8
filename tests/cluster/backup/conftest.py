"""A Milvus of our own, which restores may empty, and databases of both kinds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.milvus import MilvusLiteServer
from tests.fixtures.databases import database, database_url
from tests.fixtures.s3 import s3_options
from tests.fixtures.system import free_port

__all__ = ["database", "database_url", "s3_options"]


@pytest.fixture(scope="module")
def own_milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where it answers."""
    folder: Path = tmp_path_factory.mktemp("milvus")
    server = MilvusLiteServer(folder / "data", free_port(), log_file=folder / "milvus.log")
    server.start()
    yield server.uri
    server.stop()
