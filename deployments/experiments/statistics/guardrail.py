"""Guardrails: tests that stop an arm by themselves, looked at after every request.

Both react to an arm that breaks late as well as to one that was broken from the start. Evidence
gathered over the whole past would be slow then: a thousand good answers outweigh fifty bad ones.
So gamblers (as in `wealth.Wealth`) enter at every request, with what a purse of 1 sets aside for
it; all they hold, and what is still in the purse, grows on average by nothing while the arm keeps
its bound, so it ever reaches 1/alpha with a chance of at most alpha, over an unlimited time
(Ville). It is the mixture over the time of a change of Shin, Ramdas & Rinaldo, E-detectors, New
England Journal of Statistics in Data Science 2 (2024) 229-260, with weights that sum to 1.
"""

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from deployments.experiments.statistics.contrast import Contrast, Observation

__all__ = ["RateGuard", "WorseGuard"]

Numbers = NDArray[np.float64]

_STAKES: Final[Numbers] = np.array([1.5**-step for step in range(14)])
"""Shares of what may be staked at most."""


class RateGuard:
    """Stops an arm whose rate of bad answers (errors, refusals, empty ones) is above a bound.

    An answer is bad with some chance q; against the bound r, a gambler who believes in q multiplies
    the stake by q/r for a bad answer and (1 - q)/(1 - r) for a good one: never a gain on average
    while each answer is bad with a chance of at most r, given those before. Answers to one user who
    only asks what is refused break that: hold such a user's requests to one, or compare with the
    control (`WorseGuard`).
    """

    def __init__(self, max_rate: float, alpha: float) -> None:
        """Raises ValueError unless both lie between 0 and 1."""
        if not 0 < max_rate < 1:
            raise ValueError(f"max_rate is {max_rate}; it has to lie between 0 and 1")
        self.max_rate: Final = max_rate
        self.requests = 0
        self.events = 0
        believed = max_rate + (1 - max_rate) * _STAKES
        self._if_bad: Final[Numbers] = believed / max_rate
        self._if_good: Final[Numbers] = (1 - believed) / (1 - max_rate)
        self._bets: Final = _Bets(alpha)

    def update(self, events: Iterable[bool]) -> None:
        """Take further requests of the arm, in order: whether each went badly."""
        for bad in events:
            self.requests += 1
            self.events += bad
            self._bets.settle(self._if_bad if bad else self._if_good)

    @property
    def rate(self) -> float | None:
        """Share of bad answers so far; None before the first request."""
        return self.events / self.requests if self.requests else None

    @property
    def stopped_at(self) -> int | None:
        """The request at which the arm had to be stopped, counted from 1; None: it may go on."""
        return self._bets.stopped_at

    @property
    def p_value(self) -> float:
        """Of a rate within the bound; below x at any time with a chance of at most x if so."""
        return self._bets.p_value


class WorseGuard:
    """Stops an arm that is worse than the control by more than a margin.

    For what has no bound of its own: where the control refuses much, so may the arm. It bets on the
    signals of `Contrast` as `DifferenceSequence` does, but on one side only and from any time on,
    and asks the same of the caller.
    """

    def __init__(
        self,
        margin: float,
        alpha: float,
        *,
        higher_is_better: bool,
        lowest: float = 0.0,
        highest: float = 1.0,
    ) -> None:
        """Raises ValueError unless alpha lies between 0 and 1 and the margin within the scores."""
        self._contrast: Final = Contrast(lowest, highest)
        if not 0 <= margin < self._contrast.range:
            allowed = f"0 to less than {self._contrast.range}"
            raise ValueError(f"margin is {margin}; allowed is {allowed}")
        self._bound: Final = margin / self._contrast.range
        self._sign: Final = -1 if higher_is_better else 1
        self._bets: Final = _Bets(alpha)

    def update(self, observations: Iterable[Observation]) -> None:
        """Take further units of both arms, in order. Raises ValueError as `Contrast.signal`."""
        for one in observations:
            signal = self._contrast.signal(one)
            worse = self._sign * signal.value - self._bound
            least = signal.least if self._sign > 0 else -signal.most
            self._bets.settle(1 + _STAKES * worse / (self._bound - least))

    @property
    def stopped_at(self) -> int | None:
        """The unit of both arms at which the arm had to be stopped; None: it may go on."""
        return self._bets.stopped_at

    @property
    def p_value(self) -> float:
        """Of being worse by at most the margin."""
        return self._bets.p_value


class _Bets:
    """What gamblers who enter at any time hold together; ends when it is 1/alpha."""

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}; it has to lie between 0 and 1")
        self.stopped_at: int | None = None
        self._alpha: Final = alpha
        self._held: Numbers = np.zeros(len(_STAKES))
        self._settled = 0
        self._peak = 1.0

    def settle(self, factors: Numbers) -> None:
        """Somebody enters, then all stakes are multiplied."""
        if self.stopped_at is not None:
            return
        entering = _purse(self._settled) - _purse(self._settled + 1)
        self._settled += 1
        self._held = (self._held + entering) * factors
        self._peak = max(self._peak, float(self._held.mean()) + _purse(self._settled))
        if self._peak >= 1 / self._alpha:
            self.stopped_at = self._settled

    @property
    def p_value(self) -> float:
        return 1 / self._peak


def _purse(settled: int) -> float:
    """What is kept for later of a purse of 1: it falls so slowly that a late entry still counts."""
    return 1 / math.log2(settled + 2)
