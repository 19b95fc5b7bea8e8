"""Fixtures of the export's tests."""

from tests.fixtures.databases import database

__all__ = ["database"]
