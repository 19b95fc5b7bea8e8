"""Fixtures of the cluster package's tests."""

from tests.fixtures.databases import database, database_url
from tests.fixtures.s3 import s3_options

__all__ = ["database", "database_url", "s3_options"]
