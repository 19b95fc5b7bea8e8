"""How long rows are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.inspect import Bin, histogram, inspect_examples, measure, quantile
from training.examples import TextExample


def test_an_inspection_counts_kinds_and_tokens() -> None:
    examples = [TextExample("a" * n, "b") for n in range(1, 5)]
    seen = inspect_examples(examples, lambda example: len(str(example)))
    offset = len(str(TextExample("", "b")))
    assert seen.summary.by_kind == {"completion": 4}
    assert seen.lengths is not None
    assert (seen.lengths.shortest, seen.lengths.longest) == (offset + 1, offset + 4)
    assert seen.lengths.total == 4 * offset + 10


def test_nothing_has_no_lengths() -> None:
    assert inspect_examples([], lambda _: 1).lengths is None


@pytest.mark.parametrize(
    ("share", "expected"), [(0.05, 5), (0.25, 25), (0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_a_quantile_is_a_value_that_occurs(share: float, expected: int) -> None:
    assert quantile(list(range(1, 101)), share) == expected


def test_bins_have_round_widths_and_count_every_row() -> None:
    assert histogram([3, 7, 12, 12, 29], bins=3) == (Bin(0, 9, 2), Bin(10, 19, 2), Bin(20, 29, 1))


def test_a_row_far_out_does_not_squash_the_rest() -> None:
    bins = histogram([*range(10, 110), *range(10, 110), 10_000])
    assert bins[-1] == Bin(110, None, 1)
    assert all(b.last is not None and b.last - b.first == 9 for b in bins[:-1])


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=300), st.integers(3, 30))
def test_a_histogram_is_complete_and_within_its_bins(lengths: list[int], bins: int) -> None:
    found = histogram(sorted(lengths), bins)
    assert sum(b.rows for b in found) == len(lengths)
    assert len(found) <= bins
    for b in found:
        last = b.last if b.last is not None else max(lengths)
        assert b.rows == sum(b.first <= length <= last for length in lengths)


def test_figures_of_one_length() -> None:
    lengths = measure([8])
    assert (lengths.mean, lengths.bins) == (8.0, (Bin(8, 8, 1),))
