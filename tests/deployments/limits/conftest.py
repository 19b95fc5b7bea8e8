"""Records for what counts in them, and a clock that stands until it is moved."""

from dataclasses import dataclass

import pytest

from tests.fixtures.databases import database, database_url

__all__ = ["Clock", "clock", "database", "database_url"]


@dataclass
class Clock:
    """Seconds, moved by hand."""

    at: float = 1_795_000_000.0
    """18 November 2026."""

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()
