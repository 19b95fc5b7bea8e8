"""The sample-ratio check and the guardrails: false alarms, and how soon they see what is wrong.

Two tables of `anytime_statistics`, looked at after every unit or request. Bars: false alarms and
stops within what was asked for and twice the sampling error of that; every 55/45 found; an arm that
breaks stopped within 50 of its requests in 95 % of the runs.
"""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

import numpy as np

from deployments.experiments.statistics import (
    Observation,
    Phase,
    RateGuard,
    WorseGuard,
    check_ratio,
)
from tests.benchmarks.reporting import report

__all__ = [
    "GUARDS",
    "RATIOS",
    "Guard",
    "Ratio",
    "report_guards",
    "report_ratio",
    "requests_to_stop",
    "units_to_alarm",
]

ALARM: Final = 0.001
ALPHA: Final = 0.01
_UNITS: Final = 5000
_REQUESTS: Final = 5000
_WITHIN: Final = 50


class Ratio(NamedTuple):
    """What the arms were meant to get, and what they get."""

    name: str
    meant: tuple[tuple[float, ...], ...]
    """Shares of each phase; phases are equally long."""
    true: tuple[tuple[float, ...], ...]

    @property
    def right(self) -> bool:
        """Nothing is to be found."""
        return self.meant == self.true


class Guard(NamedTuple):
    """An arm, and what watches over it."""

    name: str
    max_rate: float
    """Of the control, for a guard that compares (the margin is 0.05)."""
    relative: bool
    before: int
    """Requests of the arm that go well enough before it breaks."""
    rate: float
    """Of bad answers, from then on; before it is half of `max_rate`."""

    @property
    def right(self) -> bool:
        """Nothing is to be found."""
        return self.rate <= self.max_rate


_RAMP: Final = ((0.9, 0.1), (0.7, 0.3), (0.5, 0.5))
RATIOS: Final = (
    Ratio("50/50", ((0.5, 0.5),), ((0.5, 0.5),)),
    Ratio("ramp 10/30/50 %", _RAMP, _RAMP),
    Ratio("80/10/10", ((0.8, 0.1, 0.1),), ((0.8, 0.1, 0.1),)),
    Ratio("50/50 turned 55/45", ((0.5, 0.5),), ((0.55, 0.45),)),
    Ratio("50/50 turned 60/40", ((0.5, 0.5),), ((0.6, 0.4),)),
    Ratio("90/10 turned 86/14", ((0.9, 0.1),), ((0.86, 0.14),)),
)
GUARDS: Final = (
    Guard("errors at the bound of 5 %", 0.05, False, 0, 0.05),
    Guard("refusals at the bound of 10 %", 0.1, False, 0, 0.1),
    Guard("refusals as the control's, 30 %", 0.3, True, 0, 0.3),
    Guard("all errors, bound 5 %", 0.05, False, 0, 1.0),
    Guard("all errors after 1,000 requests", 0.05, False, 1000, 1.0),
    Guard("half refused, bound 10 %", 0.1, False, 0, 0.5),
    Guard("empty answers, 30 %, bound 2 %", 0.02, False, 0, 0.3),
    Guard("half errors after 1,000, bound 5 %", 0.05, False, 1000, 0.5),
    Guard("all refused, control 10 %", 0.1, True, 0, 1.0),
    Guard("all refused after 1,000, control 10 %", 0.1, True, 1000, 1.0),
)


def report_ratio(pool: ProcessPoolExecutor, nulls: int, runs: int, seed: int) -> int:
    """Table of the sample ratio; how many bars were missed."""
    counts = [nulls if one.right else runs for one in RATIOS]
    found = [
        pool.submit(units_to_alarm, one, count, (seed, 200 + place))
        for place, (one, count) in enumerate(zip(RATIOS, counts, strict=True))
    ]
    rows, missed = [], 0
    for one, count, future in zip(RATIOS, counts, found, strict=True):
        units = future.result()
        alarms = [at for at in units if at is not None]
        share = len(alarms) / count
        kept = share <= _bearable(ALARM, count) if one.right else len(alarms) == count
        missed += not kept
        rows.append((one.name, count, share, *_spread(alarms), "✓" if kept else "✗"))
    columns = ("units", "experiments", "alarms", "mean units", "95th percentile", "bar")
    title = f"Sample ratio, looked at after each of {_UNITS} units, alarm at {ALARM}"
    report("anytime_ratio", title, columns, rows, alarm=ALARM, units=_UNITS, seed=seed)
    return missed


def report_guards(pool: ProcessPoolExecutor, nulls: int, runs: int, seed: int) -> int:
    """Table of the guardrails; how many bars were missed."""
    counts = [nulls if one.right else runs for one in GUARDS]
    found = [
        pool.submit(requests_to_stop, one, count, (seed, 300 + place))
        for place, (one, count) in enumerate(zip(GUARDS, counts, strict=True))
    ]
    rows, missed = [], 0
    for one, count, future in zip(GUARDS, counts, found, strict=True):
        requests = [at for at in future.result() if at is not None]
        share = len(requests) / count
        soon = sum(0 < at <= _WITHIN for at in requests) / count
        kept = share <= _bearable(ALPHA, count) if one.right else soon >= 0.95
        missed += not kept
        rows.append((one.name, count, share, soon, *_spread(requests), "✓" if kept else "✗"))
    columns = ("arm", "runs", "stopped", "within 50", "mean requests", "95th percentile", "bar")
    title = f"Guardrails, looked at after each of {_REQUESTS} requests, alpha {ALPHA}"
    report("anytime_guards", title, columns, rows, alpha=ALPHA, requests=_REQUESTS, seed=seed)
    return missed


def _bearable(asked: float, count: int) -> float:
    return asked + 2 * math.sqrt(asked * (1 - asked) / count)


def _spread(found: list[int]) -> tuple[str, str]:
    if not found:
        return "", ""
    return f"{np.mean(found):.0f}", f"{np.quantile(found, 0.95):.0f}"


def units_to_alarm(one: Ratio, count: int, seed: tuple[int, int]) -> list[int | None]:
    """Of each experiment the unit at which the alarm came."""
    chance = np.random.default_rng(seed)
    return [_alarm(one, chance) for _ in range(count)]


def _alarm(one: Ratio, chance: np.random.Generator) -> int | None:
    names = [f"arm {place}" for place in range(len(one.meant[0]))]
    done: list[Phase] = []
    length = _UNITS // len(one.meant)
    for meant, true in zip(one.meant, one.true, strict=True):
        counts, shares = dict.fromkeys(names, 0), dict(zip(names, meant, strict=True))
        for place, arm in enumerate(chance.choice(len(names), length, p=true).tolist(), start=1):
            counts[names[arm]] += 1
            if check_ratio([*done, Phase(counts, shares)], alarm_below=ALARM).alarm:
                return len(done) * length + place
        done.append(Phase(counts, shares))
    return None


def requests_to_stop(one: Guard, count: int, seed: tuple[int, int]) -> list[int | None]:
    """Of each run the arm's request at which it was stopped, counted from when it broke.

    Not above 0 where it was stopped before that.
    """
    chance = np.random.default_rng(seed)
    stop: Callable[[Guard, np.random.Generator], int | None]
    stop = _stop_relative if one.relative else _stop_absolute
    return [stop(one, chance) for _ in range(count)]


def _stop_absolute(one: Guard, chance: np.random.Generator) -> int | None:
    guard = RateGuard(one.max_rate, ALPHA)
    for bad in _answers(one, chance):
        guard.update([bad])
        if guard.stopped_at is not None:
            return guard.stopped_at - one.before
    return None


def _stop_relative(one: Guard, chance: np.random.Generator) -> int | None:
    """Every answer of the arm has one of the control beside it, in random order."""
    guard = WorseGuard(0.05, ALPHA, higher_is_better=False)
    answers = iter(_answers(one, chance))
    requests = 0
    treated: bool
    for treated in (chance.random(2 * _REQUESTS) < 0.5).tolist():
        requests += treated
        bad = next(answers, False) if treated else bool(chance.random() < one.max_rate)
        guard.update([Observation(treated, float(bad))])
        if guard.stopped_at is not None:
            return requests - one.before
    return None


def _answers(one: Guard, chance: np.random.Generator) -> list[bool]:
    rates = np.full(_REQUESTS + one.before, one.rate)
    rates[: one.before] = one.max_rate if one.relative else one.max_rate / 2
    found: list[bool] = (chance.random(len(rates)) < rates).tolist()
    return found
