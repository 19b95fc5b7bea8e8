"""What one request holds of its key's and its project's bounds, while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal

from deployments.errors import QuotaExceeded
from deployments.limits.account import Account, Standing
from deployments.limits.durations import openai_duration
from deployments.tracing.draft import TraceDraft

__all__ = ["DEGRADED_HEADER", "Lease", "current_lease", "give_up", "holding"]

DEGRADED_HEADER: Final = "x-everloop-degraded"
Degradation = Literal["fewer_passages", "cached_answer", "smaller_model"]


class Lease:
    """The accounts that a request counts on, and the tokens that were set aside for it."""

    def __init__(
        self,
        project_id: str,
        key_id: str,
        accounts: Sequence[Account],
        *,
        may_degrade: bool = True,
        refusal: QuotaExceeded | None = None,
    ) -> None:
        """`refusal`: why the request may not begin, whatever the rates say."""
        self.project_id: Final = project_id
        self.key_id: Final = key_id
        self.may_degrade: Final = may_degrade
        """Whether the client takes a simpler answer before none."""
        self.degraded: Final[list[Degradation]] = []
        """What was given up for it."""
        self._accounts: Final = tuple(accounts)
        self._refusal: Final = refusal
        self.prompt_tokens = 0
        """Of the model calls so far, as estimated."""
        self._reserved = 0

    @property
    def weight(self) -> int:
        """Its project's share while models are busy."""
        return self._accounts[-1].bounds.weight if self._accounts else 1

    def begin(self) -> None:
        """Count the request. Raises Overloaded or QuotaExceeded where a bound is reached."""
        if self._refusal is not None:
            raise self._refusal
        for account in self._accounts:
            account.check_request()
        for account in self._accounts:
            account.begin()

    def reserve(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Set tokens aside for a model call. Raises Overloaded where there are not as many."""
        amount = prompt_tokens + answer_tokens
        for account in self._accounts:
            account.check_tokens(amount)
        for account in self._accounts:
            account.use_tokens(amount)
        self._reserved += amount
        self.prompt_tokens += prompt_tokens

    def end(self, tokens: int) -> None:
        """The request has ended, and used so many tokens."""
        for account in self._accounts:
            account.use_tokens(tokens - self._reserved)
            account.end()
        self._reserved = 0

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
