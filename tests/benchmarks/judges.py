"""What a judge's verdicts are worth: the packaged model as a judge, and one that says «the first».

    python -m tests.benchmarks.judges [--base-url URL] [--model ID] [--verdicts 1000]
        [--data ../shared/data/banking77]

`--data` is a folder with BANKING77's test.csv (Casanueva et al. 2020, CC BY 4.0): customers'
messages with their intents. The judge scores intents (1 to 5), labels them (fits, wrong), and
compares the right one with a wrong one in both orders: a quarter of the verdicts are scores, a
quarter labels, half are of pairs. The data's own intents are the human labels. The other judge is
an HTTP server that always prefers the first answer.

Bars: no answer that is no verdict; every verdict there; the judge that always prefers the first
answer is barred by its own report. Flip rate, kappa and verdicts/s are printed: a model of 135M
parameters judges close to random, and its report says so.
"""

import argparse
import asyncio
import csv
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from cluster.settings import JudgeBar
from deployments.evaluation.cases import Case, Sample, Score
from deployments.evaluation.graders.judged import JudgedGrader
from deployments.evaluation.graders.models import LabelModelGrader, ScoreModelGrader
from deployments.evaluation.graders.pairwise import PairwiseGrader
from deployments.evaluation.judges.endpoint import Endpoint, EndpointCaller
from deployments.evaluation.judges.judge import Judge, JudgeSettings
from deployments.evaluation.judges.report import JudgeReport
from deployments.evaluation.judges.standing import Standing, judge_may_decide
from tests.benchmarks.application import running_application
from tests.benchmarks.reporting import report
from tests.fakes.judges import MemoryVerdicts, filled, running_judge_api

MODEL: Final = "smollm2-135m-instruct"
BATCH: Final = 50
CONCURRENCY: Final = 8
FIRST_PAIRS: Final = 100
"""Pairs that the judge which prefers the first answer is asked about."""
TASK: Final = "A customer of a bank writes: {{item.message}}\nSomebody files it under: "


class Outcome(NamedTuple):
    """What one grader came to."""

    report: JudgeReport
    standing: Standing
    seconds: float

    @property
    def rate(self) -> float:
        """Verdicts per second."""
        return self.report.verdicts / self.seconds


@dataclass(frozen=True)
class Intents:
    """Messages with the right intent and a wrong one."""

    rows: Sequence[tuple[str, str, str]]

    def singles(self, start: int, count: int) -> list[Case]:
        """One intent each, by turns the right one and a wrong one."""
        found = []
        for number, (message, right, wrong) in enumerate(self.rows[start : start + count]):
            fits = number % 2 == 0
            item = {
                "message": message,
                "stars": 5 if fits else 1,
                "fit": "fits" if fits else "wrong",
            }
            found.append(Case(number + 1, item, Sample(right if fits else wrong)))
        return found

    def pairs(self, start: int, count: int) -> list[Case]:
        """Both intents each, by turns the right one as the answer and as the other text."""
        found = []
        for number, (message, right, wrong) in enumerate(self.rows[start : start + count]):
            answer, other = (right, wrong) if number % 2 == 0 else (wrong, right)
            item = {"message": message, "other": other, "better": "AB"[number % 2]}
            found.append(Case(number + 1, item, Sample(answer)))
        return found


def main() -> int:
    """Ask both judges and report; 1 where a bar is missed."""
    options = _options()
    intents = _read(options.data / "test.csv")
    with running_application(options.base_url) as system:
        os.environ["EVERLOOP_API_KEY"] = system.key
        small = asyncio.run(_small(system.base_url, options, intents))
    with running_judge_api(lambda _: "A") as api:
        first = asyncio.run(_first(api.url, intents))
    failures = sum(one.report.parse_failures for one in small.values())
    missing = sum(one.report.unanswered for one in small.values())
    asked = sum(one.report.verdicts for one in small.values())
    rate = asked / sum(one.seconds for one in small.values())
    rows: list[tuple[Any, ...]] = [
        ("verdicts", asked, "", True),
        ("answers that are no verdict", failures, "0", failures == 0),
        ("verdicts that are missing", missing, "0", missing == 0),
        ("verdicts/s", rate, "", True),
        *(row for name, one in small.items() for row in _figures(name, one)),
        *_figures("always the first", first),
        ("always the first: may decide", first.standing.allowed, "no", not first.standing.allowed),
    ]
    told = {name: _record(one) for name, one in {**small, "always first": first}.items()}
    report(
        "judges",
        f"{options.model} as a judge, {asked} verdicts",
        ("figure", "value", "bar", "met"),
        rows,
        judges=told,
    )
    return 0 if all(row[-1] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/banking77"))
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--model", default=MODEL, help="the judge")
    parser.add_argument("--verdicts", type=int, default=1000)
    return parser.parse_args()


def _read(path: Path) -> Intents:
    """The data set's messages in random order, each with another message's intent as the wrong."""
    with path.open(newline="", encoding="utf-8") as opened:
        rows = [
            (row["text"].strip(), row["category"].replace("_", " "))
            for row in csv.DictReader(opened)
        ]
    rng = random.Random(0)
    rng.shuffle(rows)
    labels = sorted({label for _, label in rows})
    return Intents(
        [
            (text, label, rng.choice([other for other in labels if other != label]))
            for text, label in rows
        ]
    )


async def _small(
    base_url: str, options: argparse.Namespace, intents: Intents
) -> Mapping[str, Outcome]:
    caller = EndpointCaller(Endpoint(base_url=base_url, timeout_s=300, retries=20, background=True))
    quarter = max(1, options.verdicts // 4)
    settings = JudgeSettings(concurrency=CONCURRENCY)
    judge = Judge(options.model, caller, MemoryVerdicts(), settings)
    try:
        return {
            "score": await _graded(_score_grader(judge), intents.singles(0, quarter)),
            "label": await _graded(_label_grader(judge), intents.singles(quarter, quarter)),
            "pairwise": await _graded(_pair_grader(judge), intents.pairs(2 * quarter, quarter)),
        }
    finally:
        await caller.close()


async def _first(base_url: str, intents: Intents) -> Outcome:
    caller = EndpointCaller(Endpoint(base_url=base_url))
    judge = Judge("always-first", caller, MemoryVerdicts())
    try:
        return await _graded(_pair_grader(judge), intents.pairs(0, FIRST_PAIRS))
    finally:
        await caller.close()


def _score_grader(judge: Judge) -> ScoreModelGrader:
    said = f"{TASK}{{{{sample.output_text}}}}\nHow well does that fit? 1 is not at all, 5 is fully."
    messages = [{"role": "user", "content": said}]
    return ScoreModelGrader("score", messages, judge, filled, bounds=(1, 5), human_label="stars")


def _label_grader(judge: Judge) -> LabelModelGrader:
    said = f"{TASK}{{{{sample.output_text}}}}\nDoes that fit, or is it wrong?"
    messages = [{"role": "user", "content": said}]
    labels = ["fits", "wrong"]
    return LabelModelGrader(
        "label", messages, judge, filled, labels=labels, passing_labels=["fits"], human_label="fit"
    )


def _pair_grader(judge: Judge) -> PairwiseGrader:
    return PairwiseGrader(
        "pairwise",
        "{{item.other}}",
        judge,
        filled,
        question="{{item.message}}",
        criterion="Which of the two intents fits this message of a bank's customer better?",
        human_label="better",
    )


async def _graded(grader: JudgedGrader, cases: Sequence[Case]) -> Outcome:
    began = time.perf_counter()
    scores: list[Score] = []
    for start in range(0, len(cases), BATCH):
        scores += await grader.grade(cases[start : start + BATCH])
        print(f"  {grader.name}: {len(scores)} of {len(cases)} cases", flush=True)
    seconds = time.perf_counter() - began
    found = grader.report(scores)
    return Outcome(found, judge_may_decide(found, JudgeBar()), seconds)


def _figures(name: str, outcome: Outcome) -> list[tuple[Any, ...]]:
    found, agreed = outcome.report, outcome.report.agreement
    rows: list[tuple[Any, ...]] = []
    if agreed is not None:
        kappa = (
            "undefined" if agreed.kappa is None else _between(agreed.kappa, agreed.low, agreed.high)
        )
        rows.append((f"{name}: kappa, {agreed.items} labelled items", kappa, "", True))
        rows.append((f"{name}: raw agreement", agreed.raw, "", True))
    if found.flips is not None:
        flips = found.flips
        rows.append((f"{name}: flip rate", _between(flips.share, flips.low, flips.high), "", True))
    if found.position is not None and found.position.share is not None:
        place = found.position
        rows.append(
            (f"{name}: first position", f"{place.share:.3f} (p = {place.p_value:.2g})", "", True)
        )
    if found.spread is not None:
        spread = f"{found.spread:.3f}, of {found.weighted} verdicts"
        rows.append((f"{name}: spread by probability", spread, "", True))
    said = ", ".join(f"{label}: {count}" for label, count in found.distribution.items())
    return [*rows, (f"{name}: said", said, "", True)]


def _between(value: float, low: float | None, high: float | None) -> str:
    return f"{value:z.3f} [{low:z.3f}, {high:z.3f}]"


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "report": outcome.report.model_dump(mode="json"),
        "standing": outcome.standing.model_dump(mode="json"),
        "verdicts_per_second": outcome.rate,
    }


if __name__ == "__main__":
    sys.exit(main())
