"""One key or project: what it uses now, held against its bounds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from cluster.sections.limits import Bounds
from deployments.errors import Overloaded
from deployments.limits.bucket import Bucket

__all__ = ["Account", "Standing"]

Holder = Literal["key", "project"]


@dataclass(frozen=True, slots=True)
class Standing:
    """A rate as OpenAI's `x-ratelimit-*` headers tell it."""

    limit: int
    remaining: int
    reset_s: float


class Account:
    """Rates and concurrency of one key or project in one of `replicas` gateway replicas.

    Each replica takes an even share of the rates, and of the concurrent requests, rounded up.
    """

    def __init__(
        self, holder: Holder, bounds: Bounds, replicas: int, clock: Callable[[], float]
    ) -> None:
        self._holder: Final = holder
        self._replicas: Final = replicas
        self._clock: Final = clock
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

    def check_tokens(self, amount: int) -> None:
        """Raise Overloaded unless `amount` tokens may be used now."""
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
