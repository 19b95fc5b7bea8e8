"""Bounded in number and age, by project."""

from deployments.limits.kept_answers import KeptAnswers
from tests.deployments.limits.conftest import Clock


def test_answers_are_of_their_project_and_age(clock: Clock) -> None:
    kept = KeptAnswers(10, 60, clock)
    kept.put("one", "digest", "answer")
    assert kept.get("one", "digest") == "answer"
    assert kept.get("two", "digest") is None
    assert kept.holds("one")
    assert not kept.holds("two")
    clock.at += 60
    assert kept.get("one", "digest") is None
    assert not kept.holds("one")


def test_the_least_recently_used_goes_first(clock: Clock) -> None:
    kept = KeptAnswers(2, 60, clock)
    kept.put("one", "a", 1)
    kept.put("two", "b", 2)
    kept.put("two", "b", 3)
    assert kept.get("one", "a") == 1
    kept.put("one", "c", 4)
    assert len(kept) == 2
    assert kept.get("two", "b") is None
    assert not kept.holds("two")


def test_none_are_kept_where_there_is_room_for_none() -> None:
    kept = KeptAnswers(0, 60)
    kept.put("one", "a", 1)
    assert len(kept) == 0
