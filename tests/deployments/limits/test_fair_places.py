"""Places for those who wait: nobody takes all."""

from deployments.limits.fair_places import FairPlaces


def test_one_alone_gets_half_and_the_next_half_of_the_rest() -> None:
    places = FairPlaces(8)
    assert [places.take("noisy") for _ in range(6)] == [True] * 4 + [False] * 2
    assert [places.take("other") for _ in range(3)] == [True, True, False]
    assert places.take("third")


def test_a_place_that_is_left_can_be_taken_again() -> None:
    places = FairPlaces(2)
    for _ in range(5):
        assert places.take("a")
        assert not places.take("a")
        places.leave("a")
