"""Buckets, accounts, leases, and what they tell in headers."""

import pytest

from cluster.sections.limits import Bounds
from deployments.errors import Overloaded, QuotaExceeded
from deployments.limits.account import Account
from deployments.limits.bucket import Bucket
from deployments.limits.durations import openai_duration
from deployments.limits.lease import Lease, holding, setting_aside
from deployments.limits.month import month_of, seconds_left
from deployments.limits.reservation import Reservation
from deployments.limits.used import Used
from tests.deployments.limits.conftest import Clock
from tests.fakes.meter import RememberingMeter


def test_a_bucket_fills_evenly_and_holds_a_minutes_worth(clock: Clock) -> None:
    bucket = Bucket(60, clock)
    assert bucket.take(60)
    assert not bucket.take(1)
    assert bucket.wait_s(2) == pytest.approx(2.0)
    clock.at += 2
    assert bucket.take(2)
    assert not bucket.take(1)
    clock.at += 3600
    assert bucket.level == 60
    assert bucket.reset_s() == 0


def test_use_beyond_what_was_set_aside_is_owed_up_to_a_minutes_worth(clock: Clock) -> None:
    bucket = Bucket(60, clock)
    bucket.settle(500)
    assert bucket.level == -60
    assert bucket.wait_s(1) == pytest.approx(61)
    bucket.settle(-500)
    assert bucket.level == 60


def test_a_clock_that_goes_back_gives_nothing(clock: Clock) -> None:
    bucket = Bucket(60, clock)
    bucket.take(60)
    clock.at -= 100
    assert bucket.level == 0
    clock.at += 1
    assert bucket.level == pytest.approx(1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0123, "12ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.999, "1m0s"),
        (360, "6m0s"),
        (3605, "1h0m5s"),
    ],
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert openai_duration(seconds) == text


def test_months_are_of_utc() -> None:
    last_second = 1_798_761_599.0  # 2026-12-31T23:59:59Z
    assert month_of(last_second) == "2026-12"
    assert month_of(last_second + 1) == "2027-01"
    assert seconds_left(last_second) == 2


def test_requests_a_minute_are_held_and_the_wait_is_told(clock: Clock) -> None:
    account = Account("key", Bounds(requests_per_minute=2), 1, clock)
    for _ in range(2):
        account.check_request()
        account.begin()
    with pytest.raises(Overloaded) as refused:
        account.check_request()
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.retry_after_s == 30
    clock.at += 30
    account.check_request()


def test_requests_at_once_are_held(clock: Clock) -> None:
    account = Account("project", Bounds(concurrent_requests=1), 1, clock)
    account.begin()
    with pytest.raises(Overloaded, match="1 requests under way"):
        account.check_request()
    account.end()
    account.check_request()


def test_replicas_share_rates_and_places(clock: Clock) -> None:
    bounds = Bounds(requests_per_minute=100, concurrent_requests=3)
    account = Account("project", bounds, 2, clock)
    account.begin()
    account.begin()
    with pytest.raises(Overloaded, match="3 requests under way"):
        account.check_request()
    standing = account.requests()
    assert standing is not None
    assert (standing.limit, standing.remaining) == (100, 96)


def test_a_changed_rate_holds_at_once_and_the_same_one_keeps_its_level(clock: Clock) -> None:
    account = Account("key", Bounds(requests_per_minute=2), 1, clock)
    account.begin()
    account.hold(Bounds(requests_per_minute=2, concurrent_requests=5))
    standing = account.requests()
    assert standing is not None
    assert standing.remaining == 1
    account.hold(Bounds())
    assert account.requests() is None


def test_tokens_are_set_aside_and_settled(clock: Clock) -> None:
    key = Account("key", Bounds(tokens_per_minute=1000), 1, clock)
    project = Account("project", Bounds(tokens_per_minute=600), 1, clock)
    lease = Lease("proj", "key", [key, project])
    lease.begin()
    reserved = lease.reserve(100, 400, model="m")
    with pytest.raises(Overloaded, match="project may use 600 tokens a minute"):
        lease.reserve(50, 100, model="judge")
    assert lease.headers()["x-ratelimit-remaining-tokens"] == "100"
    reserved.used(100, 50)
    reserved.settle()
    lease.end()
    assert lease.headers() == {
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "450",
        "x-ratelimit-reset-tokens": "15s",
    }


def test_a_refused_reservation_takes_nothing_from_anybody(clock: Clock) -> None:
    key = Account("key", Bounds(tokens_per_minute=1000), 1, clock)
    project = Account("project", Bounds(tokens_per_minute=100), 1, clock)
    with pytest.raises(Overloaded, match="more than the 100 a minute"):
        Lease("proj", "key", [key, project]).reserve(100, 100, model="m")
    project.hold(Bounds(tokens_per_month=150))
    with pytest.raises(QuotaExceeded):
        Lease("proj", "key", [key, project]).reserve(100, 100, model="m")
    standing = key.tokens()
    assert standing is not None
    assert standing.remaining == 1000


def test_what_a_call_used_is_counted_as_of_its_model_even_where_nothing_is_bounded() -> None:
    meter = RememberingMeter(price=0.5)
    lease = Lease("proj", "key", (), meter=meter)
    with holding(lease):
        with setting_aside(10, 20, model="m@1", base="m") as reserved:
            reserved.used(11, 5)
        with setting_aside(10, 20, model="judge"):
            pass  # it was refused, and used nothing
    with setting_aside(10, 20, model="m") as outside:
        outside.used(1, 1)
    assert meter.found == [("key", "m@1", 11, 5, 8.0)]


def reserve(lease: Lease, prompt: int, answer: int) -> Reservation:
    return lease.reserve(prompt, answer, model="m", base="m")


def test_what_is_set_aside_is_of_the_months_budget_until_it_is_settled(clock: Clock) -> None:
    used = [Used(5, 600, 0)]
    account = Account(
        "project", Bounds(tokens_per_month=1000), 1, clock, lambda: used[0], lambda: 77
    )
    lease = Lease("proj", "key", [account])
    first = reserve(lease, 100, 200)
    with pytest.raises(Overloaded, match="1000 tokens a month, is set aside") as soon:
        reserve(lease, 50, 51)
    assert (soon.value.code, soon.value.retry_after_s) == ("rate_limit_exceeded", 1)
    with pytest.raises(QuotaExceeded, match="has 400 left, and the request may take 401") as never:
        reserve(lease, 200, 201)
    assert (never.value.code, never.value.retry_after_s) == ("insufficient_quota", 77)
    reserve(lease, 50, 50).settle()
    first.used(100, 10)
    first.settle()
    used[0] += Used(1, 100, 10)
    reserve(lease, 200, 90)
    account.check_budgets()
    used[0] += Used(0, 290)
    with pytest.raises(QuotaExceeded, match="is used up"):
        account.check_budgets()


def test_a_cost_is_set_aside_by_the_models_price(clock: Clock) -> None:
    account = Account("key", Bounds(cost_per_month=1.0), 1, clock, lambda: Used(cost=0.5))
    lease = Lease("proj", "key", [account], meter=RememberingMeter(price=0.01))
    with pytest.raises(
        QuotaExceeded, match=r"budget of this key, 1 of cost a month, has 0\.5 left"
    ):
        reserve(lease, 21, 30)
    held = reserve(lease, 20, 20)
    with pytest.raises(Overloaded, match="set aside"):
        reserve(lease, 10, 10)
    held.settle()
    reserve(lease, 10, 10)


def test_who_owes_tokens_begins_no_request(clock: Clock) -> None:
    account = Account("key", Bounds(tokens_per_minute=60), 1, clock)
    account.use_tokens(90)
    with pytest.raises(Overloaded) as refused:
        account.check_request()
    assert refused.value.retry_after_s == 31
