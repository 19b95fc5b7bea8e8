"""What is held out depends on what rows say and on the seed, not on where they stand."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training.data.curation.splitting import Group, held_out


def groups(*sizes: int) -> list[Group]:
    made, line = [], 1
    for number, size in enumerate(sizes):
        made.append(Group(b"%d" % number, tuple(range(line, line + size))))
        line += size
    return made


@pytest.mark.parametrize(("share", "rows"), [(0.1, 10), (0.25, 25), (0.5, 50), (0.0, 0)])
def test_single_rows_fill_the_share_exactly(share: float, rows: int) -> None:
    assert len(held_out(groups(*[1] * 100), share, 0)) == rows


def test_the_seed_decides() -> None:
    chosen = [held_out(groups(*[1] * 50), 0.2, seed) for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


@given(st.permutations(groups(3, 1, 1, 4, 1, 5, 2, 1, 1, 6)), st.floats(0.05, 0.9))
def test_the_order_of_groups_does_not_matter(shuffled: list[Group], share: float) -> None:
    expected = held_out(sorted(shuffled), share, 7)
    assert held_out(shuffled, share, 7) == expected


@given(st.lists(st.integers(1, 9), min_size=2, max_size=30), st.floats(0.01, 0.99))
@example([1, 1], 0.75)  # rounded, the share is all of them
def test_the_share_is_not_exceeded_but_for_one_row_or_the_smallest_group(
    sizes: list[int], share: float
) -> None:
    made = groups(*sizes)
    rows = sum(len(group.lines) for group in held_out(made, share, 3))
    assert rows <= max(1, round(share * sum(sizes))) or rows == min(sizes)
    assert rows < sum(sizes)


def test_where_no_group_fits_the_smallest_is_held_out() -> None:
    assert [len(group.lines) for group in held_out(groups(20, 8, 30), 0.05, 0)] == [8]


@pytest.mark.parametrize("sizes", [(10,), (6, 5), ()])
def test_nothing_is_held_out_of_what_cannot_be_parted(sizes: tuple[int, ...]) -> None:
    chosen = held_out(groups(*sizes), 0.1, 0)
    assert sum(len(group.lines) for group in chosen) in ({5} if sizes == (6, 5) else {0})
