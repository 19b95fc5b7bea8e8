"""When the Ingestor flushes Milvus."""

import pytest

from deployments.ingestor.ingestor import settle_is_due


@pytest.mark.parametrize(
    ("unsettled", "idle", "oldest_s", "due"),
    [
        (0, True, 1e9, False),
        (100, True, 1.0, False),
        (300, True, 1.0, True),
        (300, False, 1.0, False),
        (5000, False, 1.0, True),
        (1, False, 60.0, True),
    ],
)
def test_when_to_settle(unsettled: int, idle: bool, oldest_s: float, due: bool) -> None:
    assert settle_is_due(unsettled, idle, oldest_s) is due
