"""What a `limits` object may hold, and what it means beside the settings."""

from typing import Any

import pytest
from pydantic import ValidationError

from cluster.sections.limits import Bounds, LimitsSettings
from deployments.errors import InvalidRequest
from deployments.limits.bounds import held_bounds, read_limits


def test_what_is_said_is_kept_and_nothing_else() -> None:
    body = {"requests_per_minute": 60, "cost_per_month": 12.5, "tokens_per_minute": None}
    assert read_limits(body) == body
    assert read_limits({}) == {}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests": 1}, "limits.requests"),
        ({"requests_per_minute": 0}, "limits.requests_per_minute"),
        ({"requests_per_minute": "60"}, "limits.requests_per_minute"),
        ({"tokens_per_month": True}, "limits.tokens_per_month"),
        ({"tokens_per_month": 1.5}, "limits.tokens_per_month"),
        ({"cost_per_month": float("inf")}, "limits.cost_per_month"),
        ({"cost_per_month": -1}, "limits.cost_per_month"),
        ({"weight": 101}, "limits.weight"),
        ({"stored_bytes": 2**60}, "limits.stored_bytes"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_limits(body)
    assert refused.value.param == param


def test_a_record_goes_before_the_settings_also_with_null() -> None:
    defaults = Bounds(requests_per_minute=10, tokens_per_month=100)
    assert held_bounds(defaults, {"requests_per_minute": None, "weight": 3}) == Bounds(
        tokens_per_month=100, weight=3
    )
    assert held_bounds(defaults, {"of_a_newer_version": 1}) == defaults


@pytest.mark.parametrize(
    "settings",
    [
        {"fewer_passages_at": 0.8},
        {"max_waiting": 10, "max_waiting_per_project": 11},
    ],
)
def test_settings_that_contradict_one_another_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LimitsSettings(**settings)
