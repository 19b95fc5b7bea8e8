"""Alerts need drift that persists, and end by themselves."""

import numpy as np
import pytest

from deployments.drift.rule import Decision, Persistence, Rule, decide, level

RULE = Rule({"mmd": 0.004, "cost": 0.004}, looks=2, calm_level=0.05, calm_looks=2)


def after(*looks: dict[str, float]) -> list[Decision]:
    state, decisions = Persistence(), []
    for p_values in looks:
        decisions.append(decide(state, p_values, RULE))
        state = Persistence.of(decisions[-1].state.body())  # as the record keeps it
    return decisions


def test_one_look_out_of_bounds_is_told_of_but_raises_nothing() -> None:
    (found,) = after({"mmd": 0.001, "cost": 0.5})
    assert (found.action, found.out, found.persisted) == ("none", ("mmd",), ())


def test_two_looks_in_a_row_raise() -> None:
    found = after({"mmd": 0.001}, {"mmd": 0.001})
    assert [one.action for one in found] == ["none", "raise"]
    assert found[1].persisted == ("mmd",)


@pytest.mark.parametrize(
    "looks",
    [
        [{"mmd": 0.001}, {"mmd": 0.2}, {"mmd": 0.001}],
        [{"mmd": 0.001, "cost": 0.5}, {"mmd": 0.5, "cost": 0.001}],
    ],
    ids=["not in a row", "another signal"],
)
def test_what_does_not_persist_raises_nothing(looks: list[dict[str, float]]) -> None:
    assert {one.action for one in after(*looks)} == {"none"}


def test_an_alert_ends_after_calm_looks_and_not_by_one_that_is_neither() -> None:
    out, calm, between = {"mmd": 0.001}, {"mmd": 0.4}, {"mmd": 0.02}
    actions = [one.action for one in after(out, out, calm, between, calm, calm, calm)]
    assert actions == ["none", "raise", "none", "none", "none", "resolve", "none"]


def test_a_signal_without_a_value_keeps_its_count() -> None:
    found = after({"mmd": 0.001}, {"cost": 0.4}, {"mmd": 0.001})
    assert found[2].action == "raise"


def test_the_level_of_one_look_is_bonferronis() -> None:
    found = level(0.02, looks_a_month=10, signals=2, looks=1, shared=1e-9)
    assert found == pytest.approx(0.001, rel=1e-3)


def test_looks_that_share_a_reference_get_a_stricter_level() -> None:
    def of(shared: float) -> float:
        return level(0.02, looks_a_month=62, signals=9, looks=2, shared=shared)

    assert of(1e-9) == pytest.approx((0.02 / (62 * 9)) ** 0.5, rel=1e-3)
    assert of(0.3) < of(0.07) < of(1e-9)


def test_the_level_keeps_the_rate_of_normal_statistics_that_share_a_reference() -> None:
    shared, looks = 0.2, 2
    # A tenth of the looks is borne, so that the rate can be counted.
    bound_level = level(0.05, looks_a_month=1, signals=50, looks=looks, shared=shared)
    chance = np.random.default_rng(0)
    common = chance.normal(size=(400_000, 1))
    own = chance.normal(size=(400_000, looks))
    from scipy.stats import norm

    drawn = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    rate = (drawn > norm.isf(bound_level)).all(axis=1).mean()
    assert rate == pytest.approx(0.001, rel=0.2)
