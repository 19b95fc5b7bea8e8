"""What one request holds of its key's and its project's bounds, while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Final, Literal, Protocol

from deployments.limits.account import Account, Standing
from deployments.limits.durations import openai_duration
from deployments.limits.reservation import Reservation
from deployments.limits.used import Used
from deployments.tracing.draft import TraceDraft

__all__ = [
    "DEGRADED_HEADER",
    "Lease",
    "Meter",
    "current_lease",
    "give_up",
    "holding",
    "setting_aside",
]

DEGRADED_HEADER: Final = "x-everloop-degraded"
Degradation = Literal["fewer_passages", "cached_answer", "smaller_model"]


class Meter(Protocol):
    """Says what calls to models cost, and counts them."""

    def cost(self, model: str, base: str | None, prompt_tokens: int, answer_tokens: int) -> float:
        """What it costs to have `model`, a version of the served `base`, take so many tokens."""
        ...

    def count(self, lease: "Lease", model: str, used: Used) -> None:
        """Count it for the lease's key, as of `model`."""
        ...


class Lease:
    """The accounts that a request counts on, and the tokens that are set aside for it.

    Every call to a model that is made for the request counts here: the answer's, and those of
    judges and of a prompt's earlier steps.
    """

    def __init__(
        self,
        project_id: str,
        key_id: str,
        accounts: Sequence[Account],
        *,
        meter: Meter | None = None,
        spends: bool = True,
        may_degrade: bool = True,
    ) -> None:
        """`spends`: whether the request may call a model, so that a month's budget holds it."""
        self.project_id: Final = project_id
        self.key_id: Final = key_id
        self.may_degrade: Final = may_degrade
        """Whether the client takes a simpler answer before none."""
        self.degraded: Final[list[Degradation]] = []
        """What was given up for it."""
        self._accounts: Final = tuple(accounts)
        self._meter: Final = meter
        self._spends: Final = spends

    @property
    def weight(self) -> int:
        """Its project's share while models are busy."""
        return self._accounts[-1].bounds.weight if self._accounts else 1

    def begin(self) -> None:
        """Count the request. Raises Overloaded or QuotaExceeded where a bound is reached."""
        for account in reversed(self._accounts) if self._spends else ():
            account.check_budgets()
        for account in self._accounts:
            account.check_request()
        for account in self._accounts:
            account.begin()

    def reserve(
        self, prompt_tokens: int, answer_tokens: int, *, model: str, base: str | None = None
    ) -> Reservation:
        """Set tokens aside for a call to `model`, a version of the served `base`.

        Raises Overloaded where there are not as many now, QuotaExceeded where there are not as many
        in this month's budget.
        """
        expected = self._priced(model, base, prompt_tokens, answer_tokens)
        return Reservation(self._accounts, expected, partial(self._count, model, base))

    def end(self) -> None:
        """The request has ended."""
        for account in self._accounts:
            account.end()

    def _count(self, model: str, base: str | None, prompt_tokens: int, answer_tokens: int) -> None:
        if self._meter is not None:
            self._meter.count(self, model, self._priced(model, base, prompt_tokens, answer_tokens))

    def _priced(self, model: str, base: str | None, prompt: int, answer: int) -> Used:
        cost = 0.0 if self._meter is None else self._meter.cost(model, base, prompt, answer)
        return Used(0, prompt, answer, cost)

    def headers(self) -> dict[str, str]:
        """What the answer's headers tell: the tighter of the key's and the project's rates."""
        told = {}
        for unit, standings in (
            ("requests", [account.requests() for account in self._accounts]),
            ("tokens", [account.tokens() for account in self._accounts]),
        ):
            tightest = _tightest([one for one in standings if one is not None])
            if tightest is not None:
                told[f"x-ratelimit-limit-{unit}"] = str(tightest.limit)
                told[f"x-ratelimit-remaining-{unit}"] = str(tightest.remaining)
                told[f"x-ratelimit-reset-{unit}"] = openai_duration(tightest.reset_s)
        if self.degraded:
            told[DEGRADED_HEADER] = ", ".join(self.degraded)
        return told


_current: Final[ContextVar[Lease | None]] = ContextVar("everloop_lease", default=None)


@contextmanager
def holding(lease: Lease | None) -> Iterator[None]:
    """Work for the request that holds `lease`, until the block ends; None: for none."""
    token = _current.set(lease)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def setting_aside(
    prompt_tokens: int, answer_tokens: int, *, model: str, base: str | None = None
) -> Iterator[Reservation]:
    """Tokens of the current lease for a call, settled at the block's end; see `Lease.reserve`.

    Outside of a request nothing is held to anything, or counted.
    """
    lease = _current.get() or Lease("", "", ())
    reservation = lease.reserve(prompt_tokens, answer_tokens, model=model, base=base)
    try:
        yield reservation
    finally:
        reservation.settle()


def current_lease() -> Lease | None:
    """The lease of the request that this work is for; None outside of one."""
    return _current.get()


def give_up(what: Degradation, trace: TraceDraft) -> None:
    """Tell the client, by a header, and the trace what the answer does without."""
    if (lease := current_lease()) is not None and what not in lease.degraded:
        lease.degraded.append(what)
        trace.body["degraded"] = list(lease.degraded)


def _tightest(standings: list[Standing]) -> Standing | None:
    return min(standings, key=lambda one: one.remaining, default=None)
