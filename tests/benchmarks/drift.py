"""Drift monitors: false alarms of stable months, and how soon a planted shift is found.

    python -m tests.benchmarks.drift [--data ../shared/data] [--months 300] [--shifts 100]

`--data` is a folder with `banking77` (train.csv and test.csv: 13,083 questions of 77 intents) and
`cranfield` (queries.jsonl: 225 questions on aerodynamics). All are embedded with the packaged
MiniLM, once; the vectors are kept in the cache folder.

A month has 10,000 requests, drawn from a fixed mix of intents (Dirichlet, so that some are common
and some rare), with retrieval scores, lengths, refusals, unsupported sentences, feedback, cost and
latency that depend on the intent. A monitor with its default plan has the 2,000 requests before it
as the reference and looks at each 160. Its own tests, levels and rule decide.

Planted shifts begin at a random place between two looks, with 20 % of the traffic from then on:
one, three or six intents that the reference does not hold (and whose answers are refused more
often), one intent that it holds rarely, and questions of another field. What is named is the topic
that rose most: it is right where most of its questions are of what was planted.

Bars: under 2 % of stable months have an alert; 95 % of the shifts are told of within 500 requests,
but for the six intents: of a fifth scattered over six topics a window holds five questions each.
"""

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deployments.drift.domain import PreparedReference, prepare_reference
from deployments.drift.look import Window, judge_signals, look, looks_a_month, plan_rule
from deployments.drift.plan import MonitorPlan
from deployments.drift.rule import Persistence, decide
from deployments.drift.signals import Observed
from tests.benchmarks.reporting import report
from training.gate.intervals import share_interval

REQUESTS: Final = 10_000
REFERENCE: Final = 2_000
MONTH_S: Final = 30 * 86_400
SHARE: Final = 0.2
FOUND_WITHIN: Final = 500
FOREIGN: Final = "cranfield"
PLAN: Final = MonitorPlan()
WINDOW: Final = PLAN.schedule.every_requests
SCENARIOS: Final = (
    "3 new intents",
    "6 new intents",
    "a rare intent",
    "another field",
    "a new intent",
)
SCATTERED: Final = "6 new intents"
"""No single topic, so that no bar applies: each has 3 % of the traffic."""


class Corpus(NamedTuple):
    """Questions, their intents and vectors."""

    texts: list[str]
    intents: NDArray[Any]
    vectors: NDArray[Any]


class Found(NamedTuple):
    """What came of a planted shift."""

    requests: int | None
    """From its beginning to the alert; None: none within 1,500."""
    named: bool
    signals: tuple[str, ...]


class Traffic:
    """Requests of a fixed mix of intents."""

    def __init__(self, corpus: Corpus, seed: int, left_out: Sequence[str] = ()) -> None:
        self._corpus = corpus
        self._chance = np.random.default_rng(seed)
        names = [name for name in np.unique(corpus.intents) if name != FOREIGN]
        mix = dict(zip(names, self._chance.dirichlet(np.ones(len(names))), strict=True))
        self.mix = {name: share for name, share in mix.items() if name not in left_out}
        self._weights = np.zeros(len(corpus.texts))
        for name, share in self.mix.items():
            places = np.flatnonzero(corpus.intents == name)
            self._weights[places] = share / len(places)
        self._weights /= self._weights.sum()
        self._made = 0

    def window(self, requests: int, planted: Sequence[str] = (), begin: int = 0) -> Window:
        """The next `requests`; from place `begin` on a fifth of them is of what is planted."""
        places = self._chance.choice(len(self._corpus.texts), requests, p=self._weights)
        moved = np.zeros(requests, dtype=bool)
        if planted:
            pool = np.flatnonzero(np.isin(self._corpus.intents, planted))
            moved = (np.arange(requests) >= begin) & (self._chance.random(requests) < SHARE)
            places[moved] = self._chance.choice(pool, int(moved.sum()))
        values = self._values(self._corpus.intents[places], moved)
        at = self._made + np.arange(requests)
        self._made += requests
        rows = [
            Observed(f"{place}", int(when), self._corpus.texts[place], row)
            for place, when, row in zip(places, at * MONTH_S // REQUESTS, values, strict=True)
        ]
        return Window(rows, self._corpus.vectors[places], requests)

    def _values(self, intents: NDArray[Any], moved: NDArray[Any]) -> list[dict[str, float]]:
        chance, count = self._chance, len(intents)
        level = np.array([_level_of(name) for name in intents])
        refused = chance.random(count) < np.where(moved, 0.35, 0.02 + 0.06 * level)
        length = np.where(refused, 60, chance.lognormal(5.2 + 0.5 * level, 0.5)).round()
        columns = {
            "retrieval_score": np.clip(chance.normal(0.5 + 0.2 * level - 0.1 * moved, 0.1), 0, 1),
            "answer_length": length,
            "refusals": refused.astype(float),
            "unsupported": np.where(refused, np.nan, chance.choice([0, 0.25, 0.5, 1], count,
                                                                   p=[0.7, 0.15, 0.1, 0.05])),
            "feedback": np.where(chance.random(count) < 0.3,
                                 chance.random(count) < 0.8 - 0.3 * refused, np.nan),
            "cost": 1e-6 * (900 + 300 * level + length / 4),
            "latency": chance.lognormal(-0.5, 0.4, count) + length / 400,
        }  # fmt: skip
        return [
            {name: float(v[i]) for name, v in columns.items() if not np.isnan(v[i])}
            for i in range(count)
        ]


def main() -> int:
    """Simulate and report; 1 where a bar is missed."""
    options = _options()
    began = time.monotonic()
    _corpus(options.data)  # before the fork, which shares it
    jobs: list[tuple[Any, ...]] = [(options.data, seed) for seed in range(options.months)]
    shifts = [(options.data, name, n) for name in SCENARIOS for n in range(options.shifts)]
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:
        months = pool.starmap(stable_month, jobs, chunksize=4)
        found = pool.starmap(planted_shift, shifts, chunksize=4)
    rows = [_months_row(months)]
    for number, name in enumerate(SCENARIOS):
        own = found[number * options.shifts : (number + 1) * options.shifts]
        rows += _shift_rows(name, own)
    title = (
        f"Drift: {options.months} months of {REQUESTS} requests, {options.shifts} shifts of each "
        f"kind, a look each {WINDOW}"
    )
    report(
        "drift",
        title,
        ("figure", "value", "95 % interval", "bar", "met"),
        rows,
        seconds=time.monotonic() - began,
        alarms_by_signal={n: sum(n in m for m in months) for n in PLAN.signals},
        requests={
            name: [one.requests for one in found[k * options.shifts : (k + 1) * options.shifts]]
            for k, name in enumerate(SCENARIOS)
        },
    )
    return 0 if all(row[-1] for row in rows) else 1


def stable_month(data: Path, seed: int) -> tuple[str, ...]:
    """The signals that raised an alert in a month without any shift."""
    traffic = Traffic(_corpus(data), seed)
    reference = traffic.window(REFERENCE)
    prepared, state = _prepared(reference, seed), Persistence()
    alarmed: tuple[str, ...] = ()
    for place in range(REQUESTS // WINDOW):
        p_values = _p_values(reference, traffic.window(WINDOW), prepared, seed * 1000 + place * 10)
        decision = decide(state, p_values[0], p_values[1])
        state, alarmed = decision.state, (*alarmed, *decision.persisted)
    return tuple(dict.fromkeys(alarmed))


def planted_shift(data: Path, scenario: str, seed: int) -> Found:
    """Plant a shift at a random place of a window, and look until it is found."""
    corpus = _corpus(data)
    chance = np.random.default_rng((seed, SCENARIOS.index(scenario)))
    names = [name for name in np.unique(corpus.intents) if name != FOREIGN]
    new = {"3 new intents": 3, "6 new intents": 6, "a new intent": 1}.get(scenario, 0)
    planted = [str(name) for name in chance.choice(names, new, replace=False)]
    traffic = Traffic(corpus, 100_000 + seed, planted)
    if scenario == "a rare intent":
        rare = [name for name, share in traffic.mix.items() if 0.001 < share < 0.006]
        planted = [str(chance.choice(rare))]
    elif scenario == "another field":
        planted = [FOREIGN]
    reference = traffic.window(REFERENCE)
    prepared, state = _prepared(reference, seed), Persistence()
    before: Window | None = None
    begin = int(chance.integers(WINDOW))
    for place in range(10):
        current = traffic.window(WINDOW, planted, begin if place == 0 else 0)
        p_values = _p_values(reference, current, prepared, seed * 1000 + place * 10)
        decision = decide(state, p_values[0], p_values[1])
        if decision.persisted:
            assert before is not None
            named = _named(corpus, planted, reference, before, current, seed)
            return Found((place + 1) * WINDOW - begin, named, decision.persisted)
        state, before = decision.state, current
    return Found(None, False, ())


def _p_values(
    reference: Window, current: Window, prepared: PreparedReference, seed: int
) -> tuple[Mapping[str, float], Any]:
    looks = looks_a_month(PLAN, reference, current)
    rule = plan_rule(PLAN, looks, len(current.requests), len(reference.requests))
    signals = judge_signals(reference, current, PLAN, rule, seed=seed, prepared=prepared)
    return {one.name: one.p_value for one in signals if one.p_value is not None}, rule


def _named(
    corpus: Corpus,
    planted: Sequence[str],
    reference: Window,
    before: Window,
    current: Window,
    seed: int,
) -> bool:
    """Whether the topic that the report shows as risen most is of what was planted."""
    assert before.vectors is not None
    assert current.vectors is not None
    vectors = np.concatenate([before.vectors, current.vectors])
    streak = Window([*before.requests, *current.requests], vectors, 2 * WINDOW)
    made, _ = look(reference, current, PLAN, Persistence(), seed=seed, streak=streak)
    risen = next((topic for topic in made.topics if topic.moved == "rose"), None)
    if risen is None:
        return False
    intents = corpus.intents[[int(trace) for trace in risen.traces]]
    return bool(np.isin(intents, planted).mean() > 0.5)


def _prepared(reference: Window, seed: int) -> PreparedReference:
    assert reference.vectors is not None
    return prepare_reference(reference.vectors, seed)


def _months_row(months: Sequence[tuple[str, ...]]) -> tuple[Any, ...]:
    alarms = sum(bool(month) for month in months)
    share = alarms / len(months)
    return "stable months with an alert", share, _interval(alarms, len(months)), "< 0.02", (
        share < 0.02
    )  # fmt: skip


def _shift_rows(name: str, found: Sequence[Found]) -> list[tuple[Any, ...]]:
    soon = sum(one.requests is not None and one.requests <= FOUND_WITHIN for one in found)
    times = [one.requests if one.requests is not None else np.inf for one in found]
    named = sum(one.named for one in found)
    return [
        (f"{name}: found within {FOUND_WITHIN}", soon / len(found), _interval(soon, len(found)),
         "" if name == SCATTERED else ">= 0.95",
         name == SCATTERED or soon / len(found) >= 0.95),
        (f"{name}: requests, median", float(np.median(times)), "", "", True),
        (f"{name}: named right", named / len(found), _interval(named, len(found)), "", True),
    ]  # fmt: skip


def _interval(count: int, of: int) -> str:
    found = share_interval(count, of, alpha=0.05)
    return "" if found is None else f"{found.low:.3f} to {found.high:.3f}"


def _level_of(intent: str) -> float:
    """0 to 1, always the same for an intent."""
    return hashlib.sha256(intent.encode()).digest()[0] / 255


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--months", type=int, default=300)
    parser.add_argument("--shifts", type=int, default=100, help="of each kind")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


@cache
def _corpus(data: Path) -> Corpus:
    texts, intents = [], []
    for name in ("train.csv", "test.csv"):
        with (data / "banking77" / name).open(newline="", encoding="utf-8") as opened:
            for row in csv.DictReader(opened):
                texts.append(row["text"])
                intents.append(row["category"])
    with (data / "cranfield" / "queries.jsonl").open(encoding="utf-8") as opened:
        for line in opened:
            texts.append(json.loads(line)["text"])
            intents.append(FOREIGN)
    return Corpus(texts, np.array(intents), _vectors(texts))


def _vectors(texts: Sequence[str]) -> NDArray[Any]:
    """Of the packaged MiniLM; kept by what was embedded."""
    from cluster.models import ensure_model
    from cluster.settings import load_settings

    folder = load_settings().cache_dir
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    path = folder / "benchmarks" / f"drift-{digest}.npy"
    if not path.is_file():
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(ensure_model("packaged:all-minilm-l6-v2", folder)))
        vectors = model.encode(list(texts), batch_size=64, normalize_embeddings=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, vectors.astype(np.float32))
    return np.asarray(np.load(path))


if __name__ == "__main__":
    sys.exit(main())
