"""What every test shares. One Ray and one running system a session, each started for who asks."""

import os

import pytest
from hypothesis import settings

from tests.fixtures.ray_cluster import RAY_DRIVER, shared_ray
from tests.fixtures.system import system

__all__ = ["shared_ray", "system"]

os.environ.update(RAY_DRIVER)  # Ray reads them when it is imported

# Hypothesis would fail an example that took 200 ms, which on a busy machine any of them may.
settings.register_profile("everloop", deadline=None)
settings.load_profile("everloop")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives the running system goes last: while it is up, all else runs slower."""
    items.sort(key=lambda item: item.get_closest_marker("end_to_end") is not None)
