"""How many items a replica takes on."""

import pytest

from deployments.evaluation.runs.policy import Claim, Limits, OpenWork, decide

LIMITS = Limits(concurrency=8, batch=64)


@pytest.mark.parametrize(
    ("work", "claims"),
    [
        ([], []),
        ([OpenWork("a", asks=True)], [("a", 4), ("a", 4)]),
        ([OpenWork("a", asks=True, in_flight=4)], [("a", 4)]),
        ([OpenWork("a", asks=True, in_flight=5)], []),
        ([OpenWork("a", asks=True, drained=True)], []),
        ([OpenWork("a", asks=True), OpenWork("b", asks=True)], [("a", 4), ("b", 4)]),
        (
            [OpenWork("a", asks=True, in_flight=4), OpenWork("b", asks=True)],
            [("b", 4)],
        ),
        ([OpenWork("a", asks=False)], [("a", 64)]),
        ([OpenWork("a", asks=False, in_flight=1)], []),
        (
            [OpenWork("a", asks=True, in_flight=8), OpenWork("b", asks=False)],
            [("b", 64)],
        ),
    ],
)
def test_claims(work: list[OpenWork], claims: list[tuple[str, int]]) -> None:
    assert decide(work, LIMITS) == [Claim(run_id, items) for run_id, items in claims]


def test_a_concurrency_of_one_asks_one_at_a_time() -> None:
    limits = Limits(concurrency=1, batch=1)
    assert decide([OpenWork("a", asks=True)], limits) == [Claim("a", 1)]
    assert decide([OpenWork("a", asks=True, in_flight=1)], limits) == []
