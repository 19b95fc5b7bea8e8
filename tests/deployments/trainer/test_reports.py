"""What gateways tell of the calls that they hold: added up while it is fresh."""

from deployments.trainer.reports import LoadReports


def test_the_latest_word_of_each_gateway_counts() -> None:
    reports = LoadReports(fresh_s=5)
    reports.note("a", {"m": 3, "n": 1}, 0)
    reports.note("a", {"m": 4}, 1)
    reports.note("b", {"m": 6}, 2)
    assert (reports.asked("m", 3), reports.asked("n", 3), reports.asked("o", 3)) == (10, 0, 0)


def test_a_gateway_that_is_gone_is_forgotten() -> None:
    reports = LoadReports(fresh_s=5)
    reports.note("a", {"m": 3}, 0)
    assert reports.asked("m", 4.9) == 3
    assert reports.asked("m", 5) == 0
    reports.note("b", {"m": 1}, 6)
    assert reports.asked("m", 4) == 1
