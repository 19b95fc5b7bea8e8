"""Records of the prompts' tests."""

from tests.fixtures.databases import database, database_url

__all__ = ["database", "database_url"]
