"""Do experiments keep their promises when somebody looks after every single unit?

    python -m tests.benchmarks.anytime_statistics [--part nulls] [--nulls 1000] [--units 2000]
        [--runs 400] [--seed 0]

False winners: experiments in which nothing differs are drawn, and looked at after each unit that
has a score. `winner` is the share in which an arm is ever called better than the control (the
decision's own rule, at 5 %, shared by the arms if there are several), `excluded` the share whose
interval ever leaves out 0: one minus it is the coverage over all times at once. Beside it stands
Welch's t-test at 5 % looked at in the same way (called `t`, from 20 units in each arm on), and the
mixture SPRT with the variance put in as estimated (`mSPRT`).

Samples: arms differ by a stated effect. Units of both arms until it is certain, on average and in
the middle; beside the units at which a t-test planned for one look has 80 % power, and what
`planning.units_to_decision` had said. `held` is the share of intervals that hold the effect, at all
times up to the decision. `anytime_guards` has the sample ratio and the guardrails.

Bars: at most 5 % winners and 5 % excluded; the average at most 2.5 times the planned t-test's;
95 % held, or within twice the sampling error of it; planned within 30 % of the average.
"""

import argparse
import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.power import TTestIndPower

from deployments.experiments.statistics import (
    DifferenceSequence,
    Observation,
    alpha_of_each,
    units_to_decision,
)
from tests.benchmarks.anytime_guards import report_guards, report_ratio
from tests.benchmarks.experiment_streams import EFFECTS, NULLS, Case, Stream
from tests.benchmarks.peeking_rules import looks, mixture_sprt, t_test
from tests.benchmarks.reporting import report
from training.gate.intervals import share_interval

__all__ = ["Errors", "Samples", "count_errors", "fixed_units", "measure_samples"]

ALPHA: Final = 0.05
POWER: Final = 0.8
_PARTS: Final = ("nulls", "samples", "ratio", "guards")
_LIMIT: Final = 10
"""Times the planned t-test's units at which an experiment is given up."""


class Errors(NamedTuple):
    """How many of the experiments without a difference went wrong."""

    winner: int
    excluded: int
    t_winner: int
    t_excluded: int
    mixture_excluded: int


class Samples(NamedTuple):
    """Units of both arms until a difference was certain."""

    mean: float
    median: float
    mixture_mean: float
    within_fixed: float
    """Share decided by the units of the planned t-test."""
    held: float
    wrong: float
    """Share decided the wrong way round, or not at all."""


class Played(NamedTuple):
    """Unit (from 1) at which the interval of one arm left 0 behind; None where it never did."""

    above: int | None
    below: int | None
    low: float
    high: float


def main() -> int:
    """Simulate everything; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=_PARTS, help="only one of the tables")
    parser.add_argument("--nulls", type=int, default=1000, help="experiments without a difference")
    parser.add_argument("--units", type=int, default=2000, help="looks at each of these")
    parser.add_argument("--runs", type=int, default=400, help="experiments with a difference")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    missed = 0
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        if options.part in (None, "nulls"):
            missed += _report_nulls(pool, options)
        if options.part in (None, "samples"):
            missed += _report_samples(pool, options)
        if options.part in (None, "ratio"):
            missed += report_ratio(pool, options.nulls, options.runs, options.seed)
        if options.part in (None, "guards"):
            missed += report_guards(pool, options.nulls, options.runs, options.seed)
    return 1 if missed else 0


def _report_nulls(pool: ProcessPoolExecutor, options: argparse.Namespace) -> int:
    count = options.nulls
    found = [
        pool.submit(count_errors, case, count, options.units, (options.seed, place))
        for place, case in enumerate(NULLS)
    ]
    rows, missed = [], 0
    for case, one in zip(NULLS, found, strict=True):
        errors = one.result()
        kept = max(errors.winner, errors.excluded) <= ALPHA * count
        missed += not kept
        shares = [wrong / count for wrong in errors]
        wilson = share_interval(errors.winner, count, alpha=ALPHA)
        interval = f"{wilson.low:.3f} to {wilson.high:.3f}" if wilson else ""
        rows.append((case.name, shares[0], interval, *shares[1:], "✓" if kept else "✗"))
    columns = (
        "scores",
        "winner",
        "Wilson 95 %",
        "excluded",
        "t winner",
        "t excluded",
        "mSPRT",
        "bar",
    )
    title = f"False winners of {count} experiments, {options.units} looks at each"
    settings = {"nulls": count, "looks": options.units, "alpha": ALPHA, "seed": options.seed}
    report("anytime_false_winners", title, columns, rows, **settings)
    return missed


def _report_samples(pool: ProcessPoolExecutor, options: argparse.Namespace) -> int:
    found = [
        pool.submit(measure_samples, case, options.runs, (options.seed, 100 + place))
        for place, case in enumerate(EFFECTS)
    ]
    rows, missed = [], 0
    for case, one in zip(EFFECTS, found, strict=True):
        samples, fixed = one.result(), fixed_units(case)
        planned = _planned(case)
        kept = (
            samples.mean <= 2.5 * fixed
            and samples.held >= 1 - ALPHA - 2 * math.sqrt(ALPHA * (1 - ALPHA) / options.runs)
            and abs(planned / samples.mean - 1) <= 0.3
        )
        missed += not kept
        told = (samples.mean / fixed, round(samples.mixture_mean), *samples[3:])
        averages = (round(samples.mean), round(samples.median))
        rows.append((case.name, fixed, *averages, planned, *told, "✓" if kept else "✗"))
    columns = (
        "effect",
        "fixed t, 80 %",
        "mean",
        "median",
        "planned",
        "mean / fixed",
        "mSPRT mean",
        "within fixed",
        "held",
        "wrong",
        "bar",
    )
    title = f"Units until a difference is certain, {options.runs} experiments"
    settings = {"runs": options.runs, "alpha": ALPHA, "power": POWER, "seed": options.seed}
    report("anytime_samples", title, columns, rows, **settings)
    return missed


def fixed_units(case: Case) -> int:
    """Units of both arms at which a t-test planned for one look has 80 % power."""
    share = case.steps[0][1]
    control = TTestIndPower().solve_power(
        effect_size=abs(case.effect) / case.deviation,
        alpha=ALPHA,
        power=POWER,
        ratio=share / (1 - share),
    )
    return round(float(control) / (1 - share))


def _planned(case: Case) -> int:
    return units_to_decision(case.effect, case.deviation, alpha=ALPHA, share=case.steps[0][1])


def count_errors(case: Case, count: int, units: int, seed: tuple[int, int]) -> Errors:
    """Draw `count` experiments and look at each after every unit."""
    chance = np.random.default_rng(seed)
    wrong = np.zeros(len(Errors._fields), dtype=int)
    for _ in range(count):
        stream = case.stream(chance, units)
        played = [play(stream, arm, case.arms) for arm in range(1, case.arms + 1)]
        naive = np.array([_naive(stream, arm, case.arms) for arm in range(1, case.arms + 1)])
        winner = any(one.above is not None for one in played)
        excluded = winner or any(one.below is not None for one in played)
        wrong += np.concatenate([[winner, excluded], naive.any(axis=0)])
    return Errors(*(int(one) for one in wrong))


def play(stream: Stream, arm: int, arms: int) -> Played:
    """Put the units of an arm and the control through the sequence, until it leaves 0 behind."""
    sequence = DifferenceSequence(alpha_of_each(ALPHA, arms))
    above = below = None
    pair = np.flatnonzero((stream.arms == 0) | (stream.arms == arm))
    shares = stream.shares[pair, arm] / (stream.shares[pair, arm] + stream.shares[pair, 0])
    columns = ((stream.arms[pair] == arm).tolist(), stream.scores[pair].tolist(), shares.tolist())
    for number, unit in enumerate(map(Observation, *columns), start=1):
        sequence.update([unit])
        above = number if sequence.low > 0 else None
        below = number if sequence.high < 0 else None
        if above or below:
            break
    return Played(above, below, sequence.low, sequence.high)


def _naive(stream: Stream, arm: int, arms: int) -> tuple[bool, bool, bool]:
    """Of the t-test: a winner, 0 excluded; of the mixture SPRT: 0 excluded."""
    pair = (stream.arms == 0) | (stream.arms == arm)
    found = looks(stream.arms[pair] == arm, stream.scores[pair])
    sure = t_test(found, alpha_of_each(ALPHA, arms))
    mixed = mixture_sprt(found, alpha_of_each(ALPHA, arms))
    return bool((sure & (found.difference > 0)).any()), bool(sure.any()), bool(mixed.any())


def measure_samples(case: Case, runs: int, seed: tuple[int, int]) -> Samples:
    """Draw `runs` experiments with a difference until it is certain."""
    chance = np.random.default_rng(seed)
    fixed = fixed_units(case)
    ours: list[int] = []
    mixtures: list[int] = []
    held = wrong = 0
    for _ in range(runs):
        stream = case.stream(chance, _LIMIT * fixed)
        played = play(stream, 1, 1)
        right = played.above if case.effect > 0 else played.below
        wrong += right is None
        ours.append(right or len(stream.arms))
        held += played.low <= case.effect <= played.high
        mixtures.append(_first(mixture_sprt(looks(stream.arms == 1, stream.scores), ALPHA)))
    return Samples(
        mean=float(np.mean(ours)),
        median=float(np.median(ours)),
        mixture_mean=float(np.mean(mixtures)),
        within_fixed=float(np.mean(np.array(ours) <= fixed)),
        held=held / runs,
        wrong=wrong / runs,
    )


def _first(found: NDArray[np.bool_]) -> int:
    """Place of the first that holds, from 1; their number where none does."""
    places = np.flatnonzero(found)
    return int(places[0]) + 1 if len(places) else len(found)


if __name__ == "__main__":
    sys.exit(main())
