"""Agreement and shares, against the libraries that others trust."""

import random

import pytest

from deployments.evaluation.judges.agreement import agreement_of, cohen_kappa, share_of

CATEGORIES = ("1", "2", "3", "4", "5")


def _pairs(seed: int, count: int = 80) -> list[tuple[str, str]]:
    """A judge that follows people more or less, and prefers high scores."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        person = rng.randint(1, 5)
        judge = min(5, max(1, person + rng.choice((0, 0, 0, 1, 1, -1, 2))))
        found.append((str(judge), str(person)))
    return found


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weights", ["none", "quadratic"])
def test_kappa_is_scikit_learns(seed: int, weights: str) -> None:
    from sklearn.metrics import cohen_kappa_score

    pairs = _pairs(seed)
    judge, person = zip(*pairs, strict=True)
    expected = cohen_kappa_score(
        judge, person, labels=CATEGORIES, weights=None if weights == "none" else weights
    )
    found = cohen_kappa(pairs, CATEGORIES, weights)  # type: ignore[arg-type]
    assert found is not None
    assert found.value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("weights", ["none", "quadratic"])
def test_the_interval_is_statsmodels(weights: str) -> None:
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    pairs = _pairs(7)
    table = np.zeros((5, 5))
    for judge, person in pairs:
        table[CATEGORIES.index(judge), CATEGORIES.index(person)] += 1
    wt = None if weights == "none" else np.abs(np.subtract.outer(range(5), range(5))) ** 2
    expected = cohens_kappa(table, weights=wt)
    found = agreement_of(pairs, CATEGORIES, weights)  # type: ignore[arg-type]
    assert found is not None
    assert found.kappa == pytest.approx(expected.kappa, abs=1e-9)
    assert (found.low, found.high) == pytest.approx(
        (expected.kappa_low, expected.kappa_upp), abs=1e-6
    )


def test_kappa_is_undefined_where_all_said_the_same() -> None:
    found = agreement_of([("1", "1")] * 40, CATEGORIES, "quadratic")
    assert found is not None
    assert (found.raw, found.kappa, found.low, found.high) == (1.0, None, None, None)


def test_a_judge_that_never_changes_its_mind_has_kappa_0_and_nothing_beside() -> None:
    found = agreement_of([("1", "1"), ("1", "5"), ("1", "3")], CATEGORIES, "quadratic")
    assert found is not None
    assert (found.kappa, found.low, found.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-15)


def test_no_pairs_have_no_agreement() -> None:
    assert agreement_of([], CATEGORIES, "none") is None


def test_a_label_out_of_the_categories_is_an_error() -> None:
    with pytest.raises(ValueError, match="'9' is none"):
        cohen_kappa([("9", "1")], CATEGORIES, "none")


@pytest.mark.parametrize(("count", "of"), [(0, 10), (3, 10), (10, 10), (250, 1000)])
def test_a_shares_interval_is_statsmodels_wilson(count: int, of: int) -> None:
    from statsmodels.stats.proportion import proportion_confint

    found = share_of(count, of)
    assert (found.low, found.high) == pytest.approx(
        proportion_confint(count, of, method="wilson"), abs=1e-9
    )
