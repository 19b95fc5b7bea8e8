"""How fast answers are scored: BLEU, ROUGE-1, ROUGE-2, ROUGE-L and exact match, one after another.

    python -m tests.benchmarks.metric_rate [--items 10000] [--words 80] [--seed 0]

Each item is a reference of about `--words` words (a third to twice as many), as frequent as words
are in a language (Zipf), and an answer that keeps seven of ten in place. Items go to the metrics in
batches, as from an evaluation's run, in one process.

Bar: 10,000 items in less than 60 s.
"""

import argparse
import asyncio
import os
import sys
import time
from typing import Any, Final

import numpy as np

from deployments.evaluation.cases import Case, Sample
from deployments.evaluation.metrics.hf import NO_TOOLS
from deployments.evaluation.metrics.metric import MetricInput
from deployments.evaluation.metrics.registry import find_metric
from tests.benchmarks.reporting import report

__all__ = ["items"]

METRICS: Final = ("bleu", "rouge_1", "rouge_2", "rouge_l", "exact_match")
BATCH: Final = 100
VOCABULARY: Final = 20_000
KEPT: Final = 0.7
BAR_S: Final = 60.0


def items(number: int, words: int, seed: int) -> list[MetricInput]:
    """Answers beside references, of which one in fifty is right to the letter."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(2, 10, VOCABULARY)
    letters = generator.integers(ord("a"), ord("z") + 1, (VOCABULARY, 10))
    vocabulary = [
        "".join(map(chr, row[:length])) for row, length in zip(letters, lengths, strict=True)
    ]

    def drawn(count: int) -> list[str]:
        return [vocabulary[rank % VOCABULARY] for rank in generator.zipf(1.2, count)]

    made = []
    for place in range(1, number + 1):
        reference = drawn(int(generator.integers(max(1, words // 3), 2 * words)))
        others = drawn(len(reference))
        keep = generator.random(len(reference)) < (1.0 if place % 50 == 0 else KEPT)
        answer = [a if kept else b for a, b, kept in zip(reference, others, keep, strict=True)]
        said = f"{' '.join(answer)}."
        made.append(MetricInput(said, f"{' '.join(reference)}.", Case(place, {}, Sample(said))))
    return made


async def _scored(name: str, inputs: list[MetricInput]) -> tuple[float, float, dict[str, float]]:
    """Seconds, the mean and the summary."""
    metric = find_metric(name)
    begun = time.perf_counter()
    scores = []
    for start in range(0, len(inputs), BATCH):
        scores += await metric.score(inputs[start : start + BATCH], {}, NO_TOOLS)
    summary = dict(metric.summarise(scores)) if metric.summarise else {}
    took = time.perf_counter() - begun
    return took, sum(one.value or 0.0 for one in scores) / len(scores), summary


def main() -> int:
    """Print and write the figures; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    inputs = items(asked.items, asked.words, asked.seed)
    total = 0.0
    rows: list[tuple[Any, ...]] = []
    for name in METRICS:
        took, mean, summary = asyncio.run(_scored(name, inputs))
        total += took
        rows.append((name, took, len(inputs) / took, mean, summary or "-"))
    rows.append(("all", total, len(inputs) / total, "-", "-"))
    bar = BAR_S * asked.items / 10_000
    report(
        "metric_rate",
        f"{asked.items} items of about {asked.words} words (bar: {bar:g} s)",
        ("metric", "seconds", "items/s", "mean", "summary"),
        rows,
        bar_s=bar,
        cores=os.cpu_count(),
    )
    return 0 if total < bar else 1


if __name__ == "__main__":
    sys.exit(main())
