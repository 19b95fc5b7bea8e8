"""PSI, MMD and the domain classifier: values that are known, and error rates in small."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deployments.drift.domain import domain_classifier, prepare_reference
from deployments.drift.mmd import kernel_of, mmd, mmd_of_labels
from deployments.drift.permutation import permuted_labels, sequential_p_value
from deployments.drift.psi import psi, psi_of_counts

PERMUTATIONS = 400


def unit(rows: NDArray[Any]) -> NDArray[Any]:
    found: NDArray[Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def test_psi_is_the_sum_over_bins_with_half_a_request_added() -> None:
    first, second = 30.5 / 101 - 0.5, 70.5 / 101 - 0.5
    by_hand = first * math.log(61 / 101) + second * math.log(141 / 101)
    found = psi_of_counts(np.array([50, 50]), np.array([30, 70]))
    assert found == pytest.approx(by_hand, abs=1e-12)
    assert found == pytest.approx(0.165920, abs=1e-5)


def test_psi_of_the_same_shares_is_zero() -> None:
    assert psi_of_counts(np.array([10, 20]), np.array([10, 20])) == pytest.approx(0)


def test_psi_shows_a_shift_of_a_rate_and_of_a_length() -> None:
    chance = np.random.default_rng(0)
    refused = (chance.random(1000) < 0.03).astype(float)
    now = (chance.random(160) < 0.2).astype(float)
    assert psi(refused, now, permutations=PERMUTATIONS, seed=0).p_value < 0.01
    lengths = psi(
        chance.lognormal(5, 0.5, 1000),
        chance.lognormal(5.4, 0.5, 160),
        permutations=PERMUTATIONS,
        seed=0,
    )
    assert lengths.p_value < 0.01
    assert lengths.value > 0.25


def test_the_rule_of_thumb_would_alarm_on_stable_traffic_and_the_p_value_does_not() -> None:
    chance = np.random.default_rng(1)
    found = [
        psi(chance.normal(size=800), chance.normal(size=100), permutations=99, seed=seed)
        for seed in range(200)
    ]
    assert sum(one.value > 0.1 for one in found) > 40
    assert 2 <= sum(one.p_value <= 0.05 for one in found) <= 20


def test_mmd_is_the_unbiased_estimate() -> None:
    rows = np.array([[0.0], [1.0], [2.0], [3.0]], dtype=np.float32)
    kernel = kernel_of(rows, np.arange(4))
    labels = np.array([[0], [0], [1], [1]], dtype=np.float32)
    # Squared distances 1, 4, 9, 1, 4, 1 have the median 2.5.
    within, across = math.exp(-0.2), (2 * math.exp(-0.8) + math.exp(-1.8) + math.exp(-0.2)) / 4
    by_hand = 2 * within - 2 * across
    assert mmd_of_labels(kernel, labels)[0] == pytest.approx(by_hand, abs=1e-6)


def test_mmd_of_many_labels_is_that_of_each() -> None:
    chance = np.random.default_rng(2)
    kernel = kernel_of(chance.normal(size=(40, 5)).astype(np.float32), np.arange(40))
    labels = permuted_labels(chance, 10, 40, 6)
    assert labels.sum(axis=0).tolist() == [10.0] * 6
    each = [mmd_of_labels(kernel, labels[:, [i]])[0] for i in range(6)]
    assert mmd_of_labels(kernel, labels) == pytest.approx(each, abs=1e-6)  # of float32


def blobs(
    chance: np.random.Generator, count: int, planted: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """A reference of 400 around four centres, and `planted` of `count` around a fifth."""
    centres = unit(np.random.default_rng(5).normal(size=(5, 24)))

    def around(which: NDArray[Any]) -> NDArray[Any]:
        noise = chance.normal(size=(len(which), 24)) * 0.15
        return unit(centres[which] + noise).astype(np.float32)

    places = chance.integers(4, size=count)
    places[:planted] = 4
    return around(chance.integers(4, size=400)), around(places)


def test_a_planted_cluster_is_seen_by_both() -> None:
    reference, current = blobs(np.random.default_rng(3), 100, 20)
    assert mmd(reference, current, permutations=PERMUTATIONS, seed=0).p_value < 0.02
    prepared = prepare_reference(reference, 0)
    told = domain_classifier(prepared, current, permutations=PERMUTATIONS, seed=0)
    assert told.p_value <= 1 / 400
    assert told.auc > 0.55
    assert told.share > 1.5 * told.expected


def test_stable_samples_keep_the_level() -> None:
    chance = np.random.default_rng(4)
    p_values = []
    for seed in range(120):
        reference, current = blobs(chance, 60, 0)
        prepared = prepare_reference(reference, seed)
        told = domain_classifier(prepared, current, permutations=99, seed=seed)
        p_values.append((told.p_value, mmd(reference, current, permutations=99, seed=seed).p_value))
    out = (np.array(p_values) <= 0.1).sum(axis=0)
    assert all(3 <= count <= 24 for count in out)  # 12 expected, 3.3 the standard deviation


def test_the_same_question_over_and_over_is_no_drift() -> None:
    row = unit(np.ones((1, 8))).astype(np.float32)
    prepared = prepare_reference(np.repeat(row, 300, axis=0), 0)
    p_values = [
        domain_classifier(
            prepared, np.repeat(row, 60, axis=0), permutations=PERMUTATIONS, seed=seed
        ).p_value
        for seed in range(10)
    ]
    assert min(p_values) > 0.004
    assert np.median(p_values) > 0.1


def test_equal_seeds_give_equal_values() -> None:
    reference, current = blobs(np.random.default_rng(6), 60, 5)
    prepared = prepare_reference(reference, 1)
    first, second = (
        domain_classifier(prepared, current, permutations=PERMUTATIONS, seed=9) for _ in range(2)
    )
    assert first == second


def test_a_p_value_stops_early_and_never_is_zero() -> None:
    drawn: list[int] = []

    def zeros(count: int) -> NDArray[Any]:
        drawn.append(count)
        return np.zeros(count)

    assert sequential_p_value(1.0, zeros, 99) == pytest.approx(0.01)
    assert sum(drawn) == 99
    drawn.clear()
    assert sequential_p_value(0.0, zeros, 10_000) == 1.0
    assert sum(drawn) <= 50
