"""How often the gate errs: false promotions, false alarms on slices, and wins that it sees.

    python -m tests.benchmarks.gate_statistics [--rounds 1000] [--items 200] [--seed 0]

Each round draws scores of two sides and puts them through the gate's own comparison, slices and
verdict; parity, latency and size are in order. Without a true difference the sides are equally good
and differ on a share of the items (`exact_match`), or by noise with heavy tails (`log_likelihood`,
Student's t with 3 degrees). One scenario cuts the items into slices of about six.

Bars: at most 5 % false promotions; at most 5 % false alarms on slices, and twice the rounds'
sampling error (where scores vary the test's own rate is 5 %); a true difference of the size that
the gate itself states as detectable is promoted in 72 % to 90 % of the rounds (stated: 80 %); the
interval holds the true difference in 92 % to 98 % (stated: 95 %).
"""

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from tests.benchmarks.draws import binary_sides
from tests.benchmarks.reporting import report
from training.examples import TextExample
from training.gate.comparison import compare, detectable_difference
from training.gate.evidence import Answers, Evidence, Latency, Parity, Size, Timings
from training.gate.items import HeldOut
from training.gate.metrics import METRICS, Metric
from training.gate.settings import GateSettings
from training.gate.slices import judge_slices
from training.gate.verdict import decide

__all__ = ["Rates", "Scenario", "scenarios", "simulate"]

SLICES: Final = 5
SMALL: Final = 6
RESAMPLES: Final = 400
Draw = Callable[[np.random.Generator], tuple[list[float], list[float]]]


@dataclass(frozen=True)
class Scenario:
    """How scores are drawn, and which share of promotions is borne."""

    name: str
    metric: Metric
    truth: float
    """Mean difference."""
    draw: Draw
    least: float
    most: float
    slices: int = SLICES


class Rates(NamedTuple):
    """Shares of the rounds."""

    promoted: float
    refused: float
    slice_alarms: float
    covered: float


def main() -> int:
    """Simulate every scenario; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows, missed = [], 0
    for scenario in scenarios(options.items):
        rates = simulate(scenario, options.items, options.rounds, options.seed)
        kept = (
            scenario.least <= rates.promoted <= scenario.most
            and (scenario.truth != 0 or rates.slice_alarms <= _bearable(options.rounds))
            and 0.92 <= rates.covered <= 0.98
        )
        missed += not kept
        rows.append((scenario.name, scenario.truth, *rates, "✓" if kept else "✗"))
    columns = ("scenario", "true", "promoted", "refused", "slice alarms", "covered", "bars")
    title = f"The gate's errors, {options.rounds} rounds of {options.items} items"
    report("gate_statistics", title, columns, rows, rounds=options.rounds, items=options.items)
    return 1 if missed else 0


def _bearable(rounds: int) -> float:
    return 0.05 + 2 * math.sqrt(0.05 * 0.95 / rounds)


def scenarios(items: int) -> list[Scenario]:
    """Nothing to see, and what should just be seen."""
    found = [
        _binary(f"exact_match, no difference, {share:.0%} discordant", items, share, 0.0)
        for share in (0.1, 0.3)
    ]
    share = 0.2
    moved = [1.0] * round(items * share) + [0.0] * (items - round(items * share))
    size = detectable_difference(moved, True, 0.05)
    if size is not None:
        found.append(_binary(f"exact_match, {share:.0%} discordant", items, share, size))
    found.append(_continuous("log_likelihood, no difference, heavy tails", items, 0.0, tails=True))
    normal = list(np.random.default_rng(0).normal(size=100_000))
    for_all = detectable_difference(normal, False, 0.05) or 0.0
    size = for_all * float(np.sqrt(len(normal) / items))
    found.append(_continuous("log_likelihood", items, size, tails=False))
    few = _binary("exact_match, no difference, 90% discordant, small slices", items, 0.9, 0.0)
    found.append(replace(few, slices=items // SMALL))
    return found


def simulate(
    scenario: Scenario, items: int, rounds: int, seed: int, resamples: int = RESAMPLES
) -> Rates:
    """Put `rounds` draws through the gate; `covered` and `refused` rest on `resamples`."""
    chance = np.random.default_rng(seed)
    settings = GateSettings(
        slice_by="metadata.part", resamples=resamples, min_slice_items=items // SLICES
    )
    held_out = [
        HeldOut(number, TextExample("", "x"), "x", {"part": str(number % scenario.slices)})
        for number in range(items)
    ]
    promoted = refused = alarms = covered = 0
    for number in range(rounds):
        ours, theirs = scenario.draw(chance)
        evidence = _evidence(ours, theirs, scenario.metric, held_out, settings, number)
        outcome = decide(evidence, settings.bounds).outcome
        promoted += outcome == "promote"
        refused += outcome == "refuse"
        alarms += any(one.verdict == "regression" for one in evidence.slices.slices)
        interval = evidence.comparison.interval if evidence.comparison else None
        covered += interval is not None and interval.low <= scenario.truth <= interval.high
    return Rates(*(count / rounds for count in (promoted, refused, alarms, covered)))


def _evidence(
    ours: list[float],
    theirs: list[float],
    metric: Metric,
    items: list[HeldOut],
    settings: GateSettings,
    seed: int,
) -> Evidence:
    timings = Timings(median_s=0.1, p95_s=0.2, tokens=5, cut=0)
    count = len(items)
    return Evidence(
        parity=Parity(probes=(), served=0.0, templates_checked=1, templates_differ=0),
        answers=Answers(held_out=count, asked=count, left_out=0, unanswered=0),
        comparison=compare(
            ours,
            theirs,
            metric,
            alpha=settings.bounds.alpha,
            resamples=settings.resamples,
            seed=seed,
        ),
        slices=judge_slices(items, ours, theirs, metric, settings),
        latency=Latency(
            requests=count, candidate=timings, champion=timings, median_ratio=1, p95_ratio=1
        ),
        size=Size(adapter_bytes=1),
    )


def _binary(name: str, items: int, share: float, truth: float) -> Scenario:
    """Sides that differ on `share` of the items, the candidate ahead by `truth`."""

    def draw(chance: np.random.Generator) -> tuple[list[float], list[float]]:
        ours, theirs = binary_sides(chance, items, share, truth)
        return ours.tolist(), theirs.tolist()

    return Scenario(name, METRICS["exact_match"], truth, draw, *_bars(truth))


def _continuous(name: str, items: int, truth: float, *, tails: bool) -> Scenario:
    def draw(chance: np.random.Generator) -> tuple[list[float], list[float]]:
        theirs = -2 + chance.normal(size=items)
        noise = chance.standard_t(3, size=items) if tails else chance.normal(size=items)
        return (theirs + truth + noise).tolist(), theirs.tolist()

    return Scenario(name, METRICS["log_likelihood"], truth, draw, *_bars(truth))


def _bars(truth: float) -> tuple[float, float]:
    return (0.72, 0.90) if truth else (0.0, 0.05)


if __name__ == "__main__":
    sys.exit(main())
