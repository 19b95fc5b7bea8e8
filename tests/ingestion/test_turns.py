"""Projects share the places in work, and within one its stores do."""

from collections import Counter

from ingestion.turns import Waiting, in_turns


def rows(project: str, store: str, *numbers: int) -> list[Waiting]:
    return [Waiting(number, project, store) for number in numbers]


def test_the_oldest_goes_first_within_a_store() -> None:
    assert in_turns(rows("a", "s", 3, 1, 2), {}, 5) == [1, 2, 3]


def test_a_project_gains_nothing_by_having_many_stores() -> None:
    noisy = [row for n in range(20) for row in rows("noisy", f"s{n}", *range(10 * n, 10 * n + 10))]
    quiet = rows("quiet", "q", *range(1000, 1020))
    taken = in_turns(noisy + quiet, {}, 20)
    assert Counter(number >= 1000 for number in taken) == {True: 10, False: 10}
    assert len({number // 10 for number in taken if number < 1000}) == 10, "stores take turns too"


def test_what_is_in_work_counts() -> None:
    waiting = rows("a", "s", 1, 2, 3) + rows("b", "t", 4, 5, 6)
    assert in_turns(waiting, {("a", "other"): 2}, 3) == [4, 5, 1]
    stores = rows("a", "s", 1, 2) + rows("a", "t", 3, 4)
    assert in_turns(stores, {("a", "s"): 1}, 2) == [3, 1]


def test_places_that_nobody_else_wants_are_free_to_take() -> None:
    assert in_turns(rows("a", "s", 1, 2), {("a", "s"): 40}, 8) == [1, 2]
