"""When a lease counts no more."""

import pytest

from cluster.leases import has_lapsed

NOW = 1_000_000


@pytest.mark.parametrize(
    ("until", "free"),
    [
        (None, True),
        (NOW - 1, True),
        (NOW, False),
        (NOW + 15, False),
        (NOW + 20, False),  # the clock was corrected by five seconds
        (NOW + 3600, True),  # it was an hour ahead
    ],
)
def test_a_lease_holds_until_its_end_and_never_for_as_long_as_a_clock_was_wrong(
    until: int | None, free: bool
) -> None:
    assert has_lapsed(until, NOW, longest_s=15) is free
