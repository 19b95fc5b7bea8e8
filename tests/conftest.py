"""What every test shares. The one running system per session is started only for who asks."""

import pytest
from hypothesis import settings

from tests.fixtures.system import system

__all__ = ["system"]

# Hypothesis would fail an example that took 200 ms, which on a busy machine any of them may.
settings.register_profile("everloop", deadline=None)
settings.load_profile("everloop")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives the running system goes last: while it is up, all else runs slower."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is not None)
