"""What a running experiment's requests come to."""

from collections.abc import Mapping
from typing import Any

import pytest

from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan
from deployments.experiments.requests import Seen, id_at
from deployments.experiments.watch import Watch

START = 1_800_000_000.0
SCORED = {"metric": {"name": "score:quality", "wait_s": 10.0}}
ARMS = (Arm(name="control"), Arm(name="new", prompt="p@1"))


def seen(number: int, arm: str = "control", unit: str | None = None, **more: Any) -> Seen:
    """A request that began `number` seconds after the start."""
    given = {
        "id": f"{id_at(START + number)}{number:019x}",
        "arm": arm,
        "unit": unit or f"user {number}",
        "shadow": False,
        "status": 200,
        "error": False,
        "empty": False,
        "refused": None,
        "latency_ms": 5.0,
        "cost": None,
        "tokens": None,
    }
    return Seen(**{**given, **more})


def watch(settings: Mapping[str, Any] = SCORED, arms: tuple[Arm, ...] = ARMS) -> Watch:
    return Watch(arms, Plan.model_validate(settings), START)


def report_of(found: Watch) -> dict[str, Any]:
    ratio = found.ratio()
    return found.report(ratio, found.decide(ratio_alarm=ratio.alarm))


def test_a_users_first_request_with_a_value_is_what_counts() -> None:
    found = watch()
    asked = [seen(number, unit="one user") for number in range(4)]
    found.see(asked)
    due = found.due(START + 100)
    assert due == asked
    found.settle(due, {asked[1].id: 0.25, asked[2].id: 1.0})
    (control, _) = report_of(found)["arms"]
    assert (control["units"], control["requests"], control["observed"]) == (1, 4, 1)
    assert control["mean"] == 0.25


def test_a_request_counts_once_its_wait_is_over_and_not_if_it_took_longer() -> None:
    found = watch()
    found.see([seen(0), seen(5), seen(6, latency_ms=10_001.0)])
    assert found.due(START + 10.5) == []
    assert [one.unit for one in found.due(START + 11.5)] == ["user 0"]
    assert [one.unit for one in found.due(START + 60)] == ["user 5"]
    assert found.late == 1


def test_requests_whose_values_could_not_be_read_are_due_again() -> None:
    found = watch()
    found.see([seen(0)])
    due = found.due(START + 60)
    found.wait_again(due)
    assert found.due(START + 60) == due


def test_what_was_seen_before_is_passed_over() -> None:
    found = watch()
    for _ in range(3):
        found.see([seen(0), seen(1, "new")])
    assert report_of(found)["requests"] == 2


def test_values_beyond_the_metrics_bounds_count_as_the_bound() -> None:
    found = watch({"metric": {"name": "trace:latency_ms", "high": 1000, "wait_s": 10.0}})
    asked = [seen(0, latency_ms=9000.0), seen(1, "new", latency_ms=100.0)]
    found.see(asked)
    found.settle(found.due(START + 60), {one.id: one.latency_ms for one in asked})
    means = [arm["mean"] for arm in report_of(found)["arms"]]
    assert means == [1000, 100]


def test_an_arm_that_fails_breaches_within_a_few_requests() -> None:
    found = watch()
    for number in range(100):
        found.see([seen(2 * number), seen(2 * number + 1, "new")])
    assert found.breaches() == []
    for number in range(100, 115):
        found.see([seen(2 * number), seen(2 * number + 1, "new", status=500, error=True)])
    (breach,) = found.breaches()
    assert (breach.arm, breach.fault, breach.shared) == ("new", "error", False)
    assert breach.reason == "errors in 15 of 115 requests; the bound is 10%."


def test_refusals_are_compared_with_the_controls() -> None:
    bounds = [{"fault": "refused", "max_increase": 0.2}]
    found = watch({**SCORED, "guardrails": bounds})
    for number in range(150):  # both refuse every other question
        arm = "new" if number % 4 < 2 else "control"
        found.see([seen(number, arm, refused=number % 2 == 0)])
    assert found.breaches() == []
    for number in range(150, 550):
        arm = "new" if number % 4 < 2 else "control"
        found.see([seen(number, arm, refused=arm == "new" or number % 2 == 0)])
    (breach,) = found.breaches()
    assert (breach.arm, breach.fault) == ("new", "refused")


@pytest.mark.parametrize("status", [429, 499])
def test_requests_turned_away_or_left_say_nothing_of_an_arm(status: int) -> None:
    found = watch()
    found.see([seen(number, "new", status=status, empty=True) for number in range(200)])
    assert found.breaches() == []
    assert report_of(found)["requests"] == 0


def test_a_shadow_is_counted_by_itself_and_compared_with_nobody() -> None:
    found = watch(arms=(*ARMS, Arm(name="dark", model="m", shadow=True)))
    shadows = [
        seen(number, "dark", unit="one user", shadow=True, status=500, error=True)
        for number in range(1, 31)
    ]
    found.see([seen(0, unit="one user"), *shadows])
    arms = {arm["name"]: arm for arm in report_of(found)["arms"]}
    assert (arms["dark"]["units"], arms["dark"]["requests"]) == (0, 30)
    assert arms["dark"]["difference"] is None
    assert [breach.arm for breach in found.breaches()] == ["dark"]


def test_after_a_stop_the_others_split_is_what_is_expected() -> None:
    arms = (Arm(name="control"), Arm(name="a", model="m"), Arm(name="b", model="n"))
    found = watch(arms=arms)
    names = ["control", "a", "b"]
    found.see([seen(number, names[number % 3]) for number in range(300)])
    found.stop("b", START + 300)
    found.see([seen(number, names[number % 2]) for number in range(310, 2310)])
    assert not found.ratio().alarm
    found.see([seen(number, "a") for number in range(2310, 2610)])
    assert found.ratio().alarm
