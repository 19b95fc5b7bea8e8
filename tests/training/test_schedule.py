"""The learning rate at a step."""

import pytest

from training.schedule import Schedule, rate_factor


def test_it_warms_up_in_equal_parts() -> None:
    assert [rate_factor(step, 100, 4, "linear") for step in range(5)] == [0.25, 0.5, 0.75, 1, 1]


@pytest.mark.parametrize(
    ("schedule", "halfway", "last"),
    [("linear", 0.5, 0.01), ("cosine", 0.5, 0.000247), ("constant", 1.0, 1.0)],
)
def test_it_falls_as_the_schedule_says(schedule: Schedule, halfway: float, last: float) -> None:
    assert rate_factor(50, 100, 0, schedule) == pytest.approx(halfway)
    assert rate_factor(99, 100, 0, schedule) == pytest.approx(last, rel=1e-2)
