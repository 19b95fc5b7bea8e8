"""The gateway with keys."""

import pytest

from cluster.database import Database
from cluster.settings import AccessSettings, Settings
from tests.fixtures.keys import add_key, bearer

Headers = dict[str, str]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Keys are asked for, and what is known of them is known for a moment only."""
    access = AccessSettings(revoked_within_s=0.02)
    return settings.model_copy(update={"access": access})


@pytest.fixture
def operator(database: Database) -> Headers:
    """The header of a key that manages everything."""
    return bearer(add_key(database, "admin")[1])
