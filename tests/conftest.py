"""What every test shares. One Ray and one running system a session, each started for who asks."""

import functools
import os
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

from tests.fixtures.ray_cluster import RAY_DRIVER, shared_ray
from tests.fixtures.system import system

__all__ = ["shared_ray", "system"]

_ROOT: Final = Path(__file__).parents[1]
os.environ.update(RAY_DRIVER)  # Ray reads them when it is imported
# What vLLM imports would have all loggers of a worker tell errors alone, to the tests' end.
os.environ["SAGEMAKER_CONTAINER_LOG_LEVEL"] = "WARNING"

# Hypothesis would fail an example that took 200 ms, which on a busy machine any of them may.
settings.register_profile("everloop", deadline=None)
settings.load_profile("everloop")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever drives the running system goes last: while it is up, all else runs slower.

    What starts real parts goes first: it takes longest, and what is left can be shared out.
    """
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker("end_to_end") is not None:
        return 2
    return int(item.get_closest_marker("integration") is None)


class _RealPartsTogether(LoadFileScheduling):  # type: ignore[misc]
    """All files that start real parts go to one worker, which has one Ray; others as they come."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "real parts" if _starts_real_parts(file) else file


@functools.cache
def _starts_real_parts(file: str) -> bool:
    """Read from its text: who shares tests out knows their names, and not their marks."""
    return "pytest.mark.integration" in (_ROOT / file).read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    """Whatever `--dist` says."""
    return _RealPartsTogether(config, log)
