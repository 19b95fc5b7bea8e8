"""Guards: exact chances of a false stop, and how soon a broken arm is stopped."""

import itertools
import math

import numpy as np
import pytest

from deployments.experiments.statistics import Observation, RateGuard, WorseGuard


def stopped(rate: float, max_rate: float, seed: int, before: int = 0) -> int | None:
    """Requests until the stop, from when the arm broke."""
    chance = np.random.default_rng(seed)
    guard = RateGuard(max_rate, 0.01)
    guard.update((chance.random(before) < max_rate / 4).tolist())
    assert guard.stopped_at is None
    guard.update((chance.random(200) < rate).tolist())
    return guard.stopped_at - before if guard.stopped_at is not None else None


def within_50(rate: float, max_rate: float, before: int = 0) -> float:
    found = [stopped(rate, max_rate, seed, before) for seed in range(60)]
    return float(np.mean([at is not None and at <= 50 for at in found]))


def test_the_first_bad_answer_by_hand() -> None:
    """1 - 1/log2(3) is bet on rates above 0.1, the rest is kept."""
    guard = RateGuard(0.1, 0.01)
    guard.update([True])
    grown = np.mean([(0.1 + 0.9 * 1.5**-step) / 0.1 for step in range(14)])
    kept = 1 / math.log2(3)
    assert guard.p_value == pytest.approx(1 / ((1 - kept) * grown + kept))
    assert (guard.requests, guard.events, guard.rate) == (1, 1, 1.0)


def test_a_low_p_value_is_as_rare_as_it_says_over_all_outcomes() -> None:
    """Every course of ten requests at the bound, with its chance."""
    found = []
    for course in itertools.product((False, True), repeat=10):
        guard = RateGuard(0.3, 1e-9)
        guard.update(course)
        found.append((guard.p_value, 0.3 ** sum(course) * 0.7 ** (10 - sum(course))))
    found.sort()
    so_far = 0.0
    for p_value, weight in found:
        so_far += weight
        assert so_far <= p_value * (1 + 1e-9) or p_value == found[-1][0]


@pytest.mark.parametrize(("max_rate", "most"), [(0.02, 4), (0.1, 10), (0.3, 10), (0.5, 13)])
def test_an_arm_that_fails_always_is_stopped_at_once(max_rate: float, most: int) -> None:
    found = stopped(1.0, max_rate, 0)
    assert found is not None
    assert found <= most


def test_an_arm_that_fails_half_the_time_is_stopped_within_50() -> None:
    assert within_50(0.5, 0.1) >= 0.95


def test_an_arm_that_breaks_late_is_stopped_within_50() -> None:
    assert within_50(1.0, 0.1, before=500) == 1
    assert within_50(0.5, 0.05, before=500) >= 0.95


def test_an_arm_at_its_bound_goes_on() -> None:
    found = [stopped(0.1, 0.1, seed) for seed in range(200)]
    assert sum(at is not None for at in found) <= 6  # 2 are expected at most


def test_it_counts_on_after_the_stop_and_stays_stopped() -> None:
    guard = RateGuard(0.1, 0.01)
    guard.update([True] * 20)
    at, p_value = guard.stopped_at, guard.p_value
    guard.update([False] * 1000)
    assert guard.requests == 1020
    assert (guard.stopped_at, guard.p_value) == (at, p_value)
    assert p_value <= 0.01


def test_no_request_no_rate() -> None:
    guard = RateGuard(0.1, 0.01)
    assert guard.rate is None
    assert guard.p_value == 1


@pytest.mark.parametrize("max_rate", [0.0, 1.0, -1.0, math.nan])
def test_a_bound_on_a_rate_leaves_room(max_rate: float) -> None:
    with pytest.raises(ValueError, match="max_rate is"):
        RateGuard(max_rate, 0.01)


@pytest.mark.parametrize("alpha", [0.0, 1.0, math.nan])
def test_alpha_is_a_chance(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha is"):
        RateGuard(0.1, alpha)


def units(count: int, control: float, treatment: float, seed: int) -> list[Observation]:
    chance = np.random.default_rng(seed)
    treated = chance.random(count) < 0.5
    scores = chance.random(count) < np.where(treated, treatment, control)
    return [Observation(*one) for one in zip(treated.tolist(), map(float, scores), strict=True)]


def worse(
    course: list[Observation], *, higher_is_better: bool = False, margin: float = 0.05
) -> int | None:
    guard = WorseGuard(margin, 0.01, higher_is_better=higher_is_better)
    guard.update(course)
    return guard.stopped_at


def test_an_arm_that_refuses_more_than_the_control_is_stopped() -> None:
    found = [worse(units(400, 0.1, 0.9, seed)) for seed in range(20)]
    assert max(at or 400 for at in found) <= 60


def test_an_arm_that_refuses_as_much_as_the_control_goes_on() -> None:
    found = [worse(units(400, 0.5, 0.5, seed)) for seed in range(50)]
    assert sum(at is not None for at in found) <= 3  # 1 is expected at most


def test_an_arm_that_gets_worse_late_is_stopped() -> None:
    course = units(1000, 0.1, 0.1, 3) + units(300, 0.1, 1.0, 4)
    at = worse(course)
    assert at is not None
    assert 1000 < at <= 1100


def test_being_better_is_no_reason_to_stop() -> None:
    assert worse(units(400, 0.9, 0.1, 0)) is None
    assert worse(units(400, 0.1, 0.9, 0), higher_is_better=True) is None
    assert worse(units(400, 0.9, 0.1, 0), higher_is_better=True) is not None


def test_the_margin_is_granted() -> None:
    course = units(1500, 0.2, 0.45, 0)
    assert worse(course) is not None
    assert worse(course, margin=0.3) is None


def test_the_scale_of_the_score_does_not_matter() -> None:
    course = units(400, 0.1, 0.5, 0)
    plain = WorseGuard(0.05, 0.01, higher_is_better=False)
    plain.update(course)
    scaled = WorseGuard(0.2, 0.01, higher_is_better=False, lowest=1, highest=5)
    scaled.update(Observation(one.treated, 1 + 4 * one.score) for one in course)
    assert plain.stopped_at == scaled.stopped_at
    assert plain.p_value == pytest.approx(scaled.p_value)


@pytest.mark.parametrize("margin", [-0.1, 1.0, math.nan])
def test_a_margin_lies_within_the_scores(margin: float) -> None:
    with pytest.raises(ValueError, match="margin is"):
        WorseGuard(margin, 0.01, higher_is_better=True)
