"""One key or project: what it uses now and this month, held against its bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from cluster.sections.limits import Bounds
from deployments.errors import Overloaded, QuotaExceeded
from deployments.limits.bucket import Bucket
from deployments.limits.budgets import Budget, budgets_of
from deployments.limits.used import Used

__all__ = ["Account", "Standing"]

Holder = Literal["key", "project"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A rate as OpenAI's `x-ratelimit-*` headers tell it."""

    limit: int
    remaining: int
    reset_s: float


class Account:
    """Rates, concurrency and budgets of one key or project in one of `replicas` gateway replicas.

    Each replica takes an even share of the rates, and of the concurrent requests, rounded up. Of a
    month's budget each knows what all have used, and what itself has set aside.
    """

    def __init__(
        self,
        holder: Holder,
        bounds: Bounds,
        replicas: int,
        clock: Callable[[], float],
        used: Callable[[], Used] = Used,
        month_left_s: Callable[[], int] = lambda: 0,
    ) -> None:
        """`used`: what of the month's budgets is known to be used; `month_left_s` until the next.

        `clock` is for rates.
        """
        self._holder: Final = holder
        self._replicas: Final = replicas
        self._clock: Final = clock
        self._used: Final = used
        self._month_left_s: Final = month_left_s
        self._held = Used()
        """Set aside for calls under way."""
        self._running = 0
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._bounds = Bounds()
        self.hold(bounds)

    @property
    def bounds(self) -> Bounds:
        """What it is held to."""
        return self._bounds

    @property
    def running(self) -> int:
        """Requests under way."""
        return self._running

    def hold(self, bounds: Bounds) -> None:
        """Hold it to `bounds` from now on. A rate that changes starts anew with a full bucket."""
        self._requests = self._bucket(self._requests, bounds.requests_per_minute)
        self._tokens = self._bucket(self._tokens, bounds.tokens_per_minute)
        self._bounds = bounds

    def check_request(self) -> None:
        """Raise Overloaded unless one more request may begin."""
        most = self._bounds.concurrent_requests
        if most is not None and self._running >= -(-most // self._replicas):
            raise _over(f"This {self._holder} may have {most} requests under way at once.", 1.0)
        if self._requests is not None and self._requests.level < 1:
            raise _over(
                f"This {self._holder} may make {self._bounds.requests_per_minute} requests a "
                "minute.",
                self._requests.wait_s(1),
            )
        if self._tokens is not None and self._tokens.level <= 0:
            raise self._over_tokens(1)

    def begin(self) -> None:
        """A request that was checked begins."""
        self._running += 1
        if self._requests is not None:
            self._requests.take(1)

    def end(self) -> None:
        """It has ended."""
        self._running -= 1

    def check_budgets(self) -> None:
        """Raise QuotaExceeded where a month's budget is used up."""
        for budget in budgets_of(self._bounds, self._used()):
            if budget.spent >= budget.limit:
                raise self._used_up(budget, "is used up.")

    def check(self, amount: Used) -> None:
        """Raise Overloaded or QuotaExceeded unless `amount` may be used now."""
        self._check_rate(amount.tokens)
        if not self._bounds.has_budget:
            return
        asked = budgets_of(self._bounds, amount)
        held = budgets_of(self._bounds, self._held)
        for budget, more, aside in zip(
            budgets_of(self._bounds, self._used()), asked, held, strict=True
        ):
            left = budget.limit - budget.spent
            if more.spent > left:
                raise self._used_up(
                    budget,
                    f"has {max(0.0, left):g} left, and the request may take {more.spent:g}. Make "
                    "the messages shorter, or max_tokens smaller.",
                )
            if more.spent + aside.spent > left:
                raise _over(
                    f"What is left of the budget of this {self._holder}, {budget}, is set aside "
                    "for requests under way.",
                    1.0,
                )

    def set_aside(self, amount: Used) -> None:
        """Hold `amount` for a call, until it is settled."""
        self.use_tokens(amount.tokens)
        self._held += amount

    def settle(self, held: Used, tokens: int) -> None:
        """The call that `held` was set aside for has ended, and used so many tokens."""
        self.use_tokens(tokens - held.tokens)
        self._held -= held

    def _check_rate(self, amount: int) -> None:
        if self._tokens is None:
            return
        if amount > self._tokens.per_minute:
            raise Overloaded(
                f"The request may take {amount} tokens, more than the "
                f"{self._tokens.per_minute:.0f} a minute that this {self._holder} has here. Make "
                "the messages shorter, or max_tokens smaller.",
                code="rate_limit_exceeded",
                retry_after_s=60,
            )
        if self._tokens.level < amount:
            raise self._over_tokens(amount)

    def use_tokens(self, amount: int) -> None:
        """Take `amount` tokens more than were taken so far; give back where it is negative."""
        if self._tokens is not None:
            self._tokens.settle(amount)

    def requests(self) -> Standing | None:
        """How its requests stand; None without a limit."""
        return self._standing(self._requests, self._bounds.requests_per_minute)

    def tokens(self) -> Standing | None:
        """How its tokens stand; None without a limit."""
        return self._standing(self._tokens, self._bounds.tokens_per_minute)

    def _bucket(self, now: Bucket | None, per_minute: int | None) -> Bucket | None:
        if per_minute is None:
            return None
        share = max(1.0, per_minute / self._replicas)
        return now if now is not None and now.per_minute == share else Bucket(share, self._clock)

    def _standing(self, bucket: Bucket | None, limit: int | None) -> Standing | None:
        if bucket is None or limit is None:
            return None
        remaining = min(limit, int(max(0.0, bucket.level)) * self._replicas)
        return Standing(limit, remaining, bucket.reset_s())

    def _used_up(self, budget: Budget, what: str) -> QuotaExceeded:
        return QuotaExceeded(
            f"The budget of this {self._holder}, {budget}, {what} A new month begins at 00:00 UTC "
            "on its first day; an administrator can raise the budget before.",
            code="insufficient_quota",
            retry_after_s=self._month_left_s(),
        )

    def _over_tokens(self, amount: int) -> Overloaded:
        wait_s = 1.0 if self._tokens is None else self._tokens.wait_s(amount)
        return _over(
            f"This {self._holder} may use {self._bounds.tokens_per_minute} tokens a minute.", wait_s
        )


def _over(message: str, wait_s: float) -> Overloaded:
    seconds = max(1, -int(-wait_s // 1))
    return Overloaded(
        f"Rate limit reached: {message} Try again in {seconds} s.",
        code="rate_limit_exceeded",
        retry_after_s=seconds,
    )
