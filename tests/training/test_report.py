"""A run's losses in a line of text."""

from training.report import curve


def test_bars_fall_with_the_values() -> None:
    assert curve([7, 6, 5, 4, 3, 2, 1, 0]) == "█▇▆▅▄▃▂▁"


def test_many_values_are_drawn_as_means() -> None:
    assert curve([4.0] * 50 + [0.0] * 50, width=4) == "██▁▁"


def test_a_level_run_is_level() -> None:
    assert curve([2.0, 2.0]) == "▁▁"
