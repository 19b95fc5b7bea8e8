"""Fixtures of the cluster package's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.database import Database
from tests.fixtures.databases import database, database_url
from tests.fixtures.gateway import Gateway, running_gateway
from tests.fixtures.s3 import s3_options

__all__ = ["database", "database_url", "s3_options"]


@pytest.fixture
def gateway(tmp_path: Path, database: Database) -> Iterator[Gateway]:
    """The real gateway over fakes, for the command line."""
    with running_gateway(tmp_path / "data", database) as running:
        yield running
