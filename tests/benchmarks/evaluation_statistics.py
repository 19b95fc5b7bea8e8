"""Whether comparisons keep what they promise: coverage, false wins and power, beside other rules.

    python -m tests.benchmarks.evaluation_statistics [--part decisions]
        [--simulations 1000] [--items 200] [--seed 0]

Coverage: paired differences with a known mean are drawn, and the share of 95 % intervals that hold
it is counted: ours (`training.gate.intervals`), BCa alone, and the percentile bootstrap that MLflow
uses. For 0 and 1 the `exact` column sums over all outcomes instead of drawing them.

Decisions: two runs are drawn and compared by `compare_runs`, once without a difference and once
with one that the report itself states as detectable. `better` is the share of simulations with that
verdict, `alarm` the share in which any metric or slice is called better or worse. `rival_rules` has
what stands beside it: `any` metric improved, as one reads a table of p-values, and `all` of them.
The skewed score has a mean of 0 though most items that move lose: Wilcoxon's test sees that.

Bars: coverage of 95 ± 1.5 % (✓; ~ within twice the sampling error of that; ✗ outside) wherever at
least 10 items are expected to differ and there are at least 100 of them, the unbounded
distributions excepted; at most 5 % `better` without a difference; 72 % to 90 % with the difference
that is stated as detectable (80 %).
"""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from deployments.evaluation.comparison import (
    ComparisonSettings,
    ScoredGrader,
    ScoredItem,
    ScoredRun,
    compare_runs,
)
from tests.benchmarks.draws import COMMON, STRESS, Differences, binary_sides
from tests.benchmarks.reporting import report
from tests.benchmarks.rival_rules import (
    SidesOf,
    mlflow_improved,
    percentile_interval,
    unpaired_improved,
)
from training.gate.comparison import detectable_difference
from training.gate.intervals import interval_of, score_interval, with_students

__all__ = ["Covered", "Decided", "Scenario", "coverage_cells", "decide", "scenarios"]

ALPHA: Final = 0.05
RESAMPLES: Final = 1000
SIZES: Final = (30, 50, 100, 200, 400)
_BINARY_SIZES: Final = (30, 50, 100, 200)
_BINARY: Final = ((0.1, 0.0), (0.2, 0.0), (0.2, 0.05), (0.4, 0.1))
"""Share of items that differ, and the true difference."""
_WITHIN: Final = 0.015
_FROM: Final = 100
_DISCORDANT: Final = 10
_PARTS: Final = 4
_METRICS: Final = 4
_STEPS: Final = 6


class Cell(NamedTuple):
    """One row of the table of coverage."""

    name: str
    items: int
    truth: float
    share: float | None
    """Of items that differ; None where the scores are not 0 or 1."""
    differences: int | None
    """Place in COMMON + STRESS; None where they are 0 or 1."""
    barred: bool
    """Whether the bar holds here."""


class Covered(NamedTuple):
    """Shares of the simulations."""

    ours: float
    bca: float
    percentile: float
    exact: float | None


class Decided(NamedTuple):
    """Shares of the simulations."""

    better: float
    alarm: float
    mlflow_any: float
    mlflow_all: float
    unpaired: float


Draw = Callable[[np.random.Generator], list[SidesOf]]


class Scenario(NamedTuple):
    """Two runs, and which share of «better» is borne."""

    name: str
    truth: float
    draw: Draw
    least: float
    most: float


def main() -> int:
    """Simulate everything; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=("coverage", "decisions"), help="only one of the tables")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    count, seed = options.simulations, options.seed
    cells = coverage_cells() if options.part != "decisions" else []
    stated = scenarios(options.items) if options.part != "coverage" else []
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        covered = [pool.submit(cover, cell, count, (seed, i)) for i, cell in enumerate(cells)]
        decided = [
            pool.submit(decide, options.items, i, count, (seed, 1000 + i))
            for i in range(len(stated))
        ]
        missed = 0
        if cells:
            missed += _report_coverage(cells, [one.result() for one in covered], count)
        if stated:
            missed += _report_decisions(stated, [one.result() for one in decided], options)
    return 1 if missed else 0


def _report_coverage(cells: Sequence[Cell], found: Sequence[Covered], count: int) -> int:
    rows, missed = [], 0
    for cell, covered in zip(cells, found, strict=True):
        sign = _sign(covered, count)
        missed += cell.barred and sign == "✗"
        exact = "" if covered.exact is None else covered.exact
        told = sign if cell.barred else f"({sign})"
        rows.append((cell.name, cell.items, cell.truth, *covered[:3], exact, told))
    columns = ("differences", "items", "true", "ours", "BCa", "percentile", "exact", "bar")
    title = f"Coverage of 95 % intervals, {count} simulations"
    report("evaluation_coverage", title, columns, rows, simulations=count, resamples=RESAMPLES)
    return missed


def _report_decisions(
    stated: Sequence[Scenario], found: Sequence[Decided], options: argparse.Namespace
) -> int:
    rows, missed = [], 0
    for scenario, decided in zip(stated, found, strict=True):
        kept = scenario.least <= decided.better <= scenario.most
        missed += not kept
        rows.append((scenario.name, round(scenario.truth, 4), *decided, "✓" if kept else "✗"))
    columns = (
        "scenario",
        "true",
        "better",
        "alarm",
        "MLflow, any",
        "MLflow, all",
        "unpaired t, any",
        "bar",
    )
    title = f"Decisions, {options.simulations} simulations of {options.items} items"
    settings = {"simulations": options.simulations, "items": options.items, "seed": options.seed}
    report("evaluation_decisions", title, columns, rows, **settings)
    return missed


def _sign(covered: Covered, count: int) -> str:
    """The exact coverage where there is one, else the simulated with its error."""
    share = covered.ours if covered.exact is None else covered.exact
    error = 2 * math.sqrt(0.05 * 0.95 / count) if covered.exact is None else 0.0
    away = abs(share - 0.95)
    return "✓" if away <= _WITHIN else "~" if away <= _WITHIN + error else "✗"


def coverage_cells() -> list[Cell]:
    """Every distribution at every size."""
    found = [
        Cell(
            f"0 or 1, {share:.0%} differ",
            items,
            truth,
            share,
            None,
            items >= _FROM and share * items >= _DISCORDANT,
        )
        for share, truth in _BINARY
        for items in _BINARY_SIZES
    ]
    return found + [
        Cell(one.name, items, 0.0, None, place, place < len(COMMON) and items >= _FROM)
        for place, one in enumerate(COMMON + STRESS)
        for items in SIZES
    ]


def cover(cell: Cell, count: int, seed: tuple[int, int]) -> Covered:
    """Draw the cell `count` times."""
    chance = np.random.default_rng(seed)
    held = np.zeros(3)
    for number in range(count):
        differences = _draw(cell, chance)
        for place, ends in enumerate(_intervals(cell, differences, number, chance)):
            held[place] += ends[0] <= cell.truth <= ends[1]
    ours, bca, percentile = (float(share) for share in held / count)
    exact = _exact(cell.items, cell.share, cell.truth) if cell.share is not None else None
    return Covered(ours, bca, percentile, exact)


def _draw(cell: Cell, chance: np.random.Generator) -> NDArray[np.float64]:
    if cell.share is not None:
        ours, theirs = binary_sides(chance, cell.items, cell.share, cell.truth)
        return ours - theirs
    return (COMMON + STRESS)[cell.differences or 0].draw(chance, cell.items, cell.truth)


def _intervals(
    cell: Cell, differences: NDArray[np.float64], number: int, chance: np.random.Generator
) -> list[tuple[float, float]]:
    values = differences.tolist()
    bca = interval_of(values, alpha=ALPHA, resamples=RESAMPLES, seed=number)
    if cell.share is None:
        ours = with_students(bca, values, alpha=ALPHA)
    else:
        ahead, behind = int((differences > 0).sum()), int((differences < 0).sum())
        ours = score_interval(ahead, behind, cell.items, alpha=ALPHA)
    empty = (math.inf, -math.inf)
    return [
        (ours.low, ours.high) if ours else empty,
        (bca.low, bca.high) if bca else empty,
        percentile_interval(differences, ALPHA, RESAMPLES, chance),
    ]


def _exact(items: int, share: float, truth: float) -> float:
    """Coverage of the score interval, over all counts of discordant pairs that can happen."""
    chances = [(share + truth) / 2, (share - truth) / 2, 1 - share]
    held = 0.0
    for moved in range(items + 1):
        if stats.binom.pmf(moved, items, share) < 1e-9:
            continue
        ahead = np.arange(moved + 1)
        outcomes = np.stack([ahead, moved - ahead, np.full_like(ahead, items - moved)], axis=1)
        weights = stats.multinomial.pmf(outcomes, items, chances)
        for one, weight in zip(ahead, weights, strict=True):
            if weight > 1e-9:
                low, high = _score(int(one), int(moved - one), items)
                held += float(weight) * (low <= truth <= high)
    return held


@cache
def _score(ahead: int, behind: int, items: int) -> tuple[float, float]:
    found = score_interval(ahead, behind, items, alpha=ALPHA)
    return found.low, found.high


@cache
def scenarios(items: int) -> list[Scenario]:
    """Nothing to see, and what should just be seen, by one metric and by four."""
    null, power = (0.0, 0.05), (0.72, 0.90)
    found = [
        Scenario("0 or 1, 20 % differ", 0.0, _one_binary(items, 0.2, 0.0), *null),
        *(Scenario(one.name, 0.0, _one_metric(one, items, 0.0), *null) for one in COMMON),
        Scenario("four metrics", 0.0, _four_metrics(items, 0.0), *null),
    ]
    size = _binary_size(items, 1)
    found.append(Scenario("0 or 1, 20 % differ", size, _one_binary(items, 0.2, size), *power))
    for one in COMMON:
        size = _size(one, items)
        found.append(Scenario(one.name, size, _one_metric(one, items, size), *power))
    size = _binary_size(items, _METRICS)
    found.append(Scenario("four metrics, one differs", size, _four_metrics(items, size), *power))
    return found


def _binary_size(items: int, metrics: int) -> float:
    """What the report states as detectable where a fifth of the items differ."""
    moved = round(0.2 * items)
    differences = [1.0] * moved + [0.0] * (items - moved)
    return detectable_difference(differences, True, ALPHA / metrics) or math.nan


def _size(one: Differences, items: int) -> float:
    """The mean difference that a report on such items states as detectable, on average."""
    size = 0.0
    for _ in range(_STEPS):
        chance = np.random.default_rng(0)
        stated = [
            detectable_difference(one.draw(chance, items, size).tolist(), False, ALPHA)
            for _ in range(_STEPS * _STEPS)
        ]
        size = float(np.mean([found for found in stated if found is not None]))
    return size


def _one_binary(items: int, share: float, truth: float) -> Draw:
    return lambda chance: [SidesOf(*binary_sides(chance, items, share, truth), True)]


def _one_metric(one: Differences, items: int, truth: float) -> Draw:
    def draw(chance: np.random.Generator) -> list[SidesOf]:
        theirs = chance.normal(size=items)
        return [SidesOf(theirs + one.draw(chance, items, truth), theirs, False)]

    return draw


def _four_metrics(items: int, truth: float) -> Draw:
    """Two of 0 and 1, of which the first differs by `truth`, a score, and seconds."""

    def draw(chance: np.random.Generator) -> list[SidesOf]:
        score, seconds = chance.random(items), chance.lognormal(0, 0.5, items)
        slower = chance.lognormal(0, 0.2, items)
        return [
            SidesOf(*binary_sides(chance, items, 0.2, truth), True),
            SidesOf(*binary_sides(chance, items, 0.3, 0.0), True),
            SidesOf(score + COMMON[1].draw(chance, items, 0.0), score, False),
            SidesOf(
                seconds * slower,
                seconds * chance.permutation(slower),
                False,
                higher_is_better=False,
            ),
        ]

    return draw


def decide(items: int, place: int, count: int, seed: tuple[int, int]) -> Decided:
    """Draw the scenario `count` times, and put it through every rule."""
    scenario = scenarios(items)[place]
    chance = np.random.default_rng(seed)
    counts = np.zeros(5)
    for _ in range(count):
        metrics = scenario.draw(chance)
        mlflow = [mlflow_improved(one, ALPHA) for one in metrics]
        unpaired = [unpaired_improved(one, ALPHA) for one in metrics]
        better, alarm = _ours(metrics, items)
        counts += [better, alarm, any(mlflow), all(mlflow), any(unpaired)]
    return Decided(*(float(share) for share in counts / count))


def _ours(metrics: Sequence[SidesOf], items: int) -> tuple[bool, bool]:
    graders = [
        ScoredGrader(f"metric {i}", binary=one.binary, higher_is_better=one.higher_is_better)
        for i, one in enumerate(metrics)
    ]
    baseline = _run("baseline", graders, [one.baseline for one in metrics], items)
    candidate = _run("candidate", graders, [one.candidate for one in metrics], items)
    settings = ComparisonSettings(
        alpha=ALPHA, pair_by="number", slice_by="part", resamples=300, items_kept=0
    )
    found = compare_runs(baseline, candidate, settings)
    said: set[str] = {one.verdict for one in found.metrics}
    said |= {part.verdict for one in found.metrics for part in one.slices}
    return found.verdict == "better", bool(said & {"better", "worse"})


def _run(
    name: str,
    graders: Sequence[ScoredGrader],
    columns: Sequence[NDArray[np.float64]],
    items: int,
) -> ScoredRun:
    values = {grader.name: one.tolist() for grader, one in zip(graders, columns, strict=True)}
    return ScoredRun(
        name,
        graders,
        [
            ScoredItem(
                number=n + 1,
                item={"part": str(n % _PARTS)},
                scores={grader: column[n] for grader, column in values.items()},
            )
            for n in range(items)
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
