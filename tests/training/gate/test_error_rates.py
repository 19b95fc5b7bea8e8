"""How often the gate errs, in short; `tests.benchmarks.gate_statistics` says it in full."""

import pytest

from tests.benchmarks.gate_statistics import scenarios, simulate


@pytest.mark.parametrize("place", [1, 3, 5])
def test_equal_sides_are_hardly_ever_promoted_nor_refused(place: int) -> None:
    """Of 200 rounds some 5 are expected to be promoted, and 10 would be 5 %."""
    rates = simulate(scenarios(100)[place], 100, 200, seed=1, resamples=100)
    assert rates.promoted <= 0.05
    assert rates.slice_alarms <= 0.09


def test_a_difference_that_is_said_to_be_detectable_is_promoted() -> None:
    rates = simulate(scenarios(100)[2], 100, 200, seed=1, resamples=100)
    assert 0.7 < rates.promoted < 0.9
