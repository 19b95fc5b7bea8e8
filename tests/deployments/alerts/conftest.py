"""Records on SQLite and on PostgreSQL."""

from tests.fixtures.databases import database, database_url

__all__ = ["database", "database_url"]
