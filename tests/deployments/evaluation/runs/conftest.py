"""Fixtures of the tests of runs."""

import pytest

from cluster.database import Database
from tests.fakes.eval_runs import Scene
from tests.fixtures.databases import database, database_url

__all__ = ["database", "database_url"]


@pytest.fixture
def scene(database: Database) -> Scene:
    """A scene on SQLite and on PostgreSQL."""
    return Scene(database)
