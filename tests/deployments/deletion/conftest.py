"""Records on both databases, a byte store in a folder, and fakes of what the duties call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from cluster.database import Database
from cluster.settings import AccessSettings, HttpSettings, Settings
from cluster.storage import ByteStore
from deployments.monitor.duty import MonitorParts
from tests.fakes.parts import FakeIngestor, FakeModel
from tests.fixtures.databases import database, database_url

__all__ = ["database", "database_url"]


@pytest.fixture
def storage(tmp_path: Path) -> ByteStore:
    return ByteStore(f"file://{tmp_path / 'bytes'}")


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def ingestor(database: Database, storage: ByteStore) -> FakeIngestor:
    return FakeIngestor(database, storage)


@pytest.fixture
def make_parts(
    tmp_path: Path, database: Database, storage: ByteStore, model: FakeModel, ingestor: FakeIngestor
) -> Callable[[float], MonitorParts]:
    """What the Monitor works with, for requests that last so many seconds at most."""

    def make(longest_s: float) -> MonitorParts:
        return MonitorParts(
            settings=Settings(
                data_dir=tmp_path,
                http=HttpSettings(request_timeout_s=longest_s),
                access=AccessSettings(revoked_within_s=0.001),
            ),
            database=database,
            storage=storage,
            embedder=cast(Any, None),
            evaluator=cast(Any, None),
            trainer=cast(Any, None),
            ingestor=ingestor,
            models={"m": model},
        )

    return make
