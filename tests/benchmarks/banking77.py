"""BANKING77 through the service: a job, the gate, the alias; and a second job that learns nonsense.

    python -m tests.benchmarks.banking77 [--data ../shared/data/banking77] [--base-url URL]
        [--rows 5500] [--shuffled-rows 550] [--held-out 500]

`--data` is a folder with the data set's train.csv and test.csv (BANKING77, Casanueva et al. 2020,
CC BY 4.0): 77 intents, and the answer is the label in words. Everything goes over HTTP, as a client
sees it: the files are uploaded, the base model answers the held-out questions, a fine-tuning job
trains a LoRA adapter for the alias `assistant`, the gate that follows compares and promotes it by
itself, and the alias answers the same questions. Then a job on shuffled labels is to be refused.

Bars: exact match of the alias at least 0.80 where the base model stays under 0.10, trained within
25 minutes on two CPU cores, promoted by the gate; the second job is not promoted.
"""

import argparse
import csv
import os
import random
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

from openai import OpenAI

from tests.benchmarks.application import (
    await_gate,
    await_job,
    chat_row,
    running_application,
    upload,
)
from tests.benchmarks.reporting import report

MODEL: Final = "smollm2-135m-instruct"
ALIAS: Final = "assistant"
SYSTEM: Final = "Intent?"
TRAINING: Final[Mapping[str, Any]] = {
    "adapter": {"kind": "lora", "rank": 16},
    "optimizer": {"learning_rate": 1e-3, "schedule": "linear", "warmup_share": 0.03},
}
BATCH: Final = 16
ANSWER_TOKENS: Final = 24
CONCURRENCY: Final = 8


class Question(NamedTuple):
    """A customer's message and its intent."""

    text: str
    label: str


class Trained(NamedTuple):
    """What came of a job and its gate."""

    job: str
    adapter: str
    training_s: float
    """From the job's start to its end: data, model, training and adapter."""
    gate_s: float
    verdict: str
    promoted: bool
    reasons: Sequence[str]
    """Of the checks that did not pass."""
    candidate: float
    champion: float
    report: Mapping[str, Any]


def main() -> int:
    """Run both jobs and report; 1 where a bar is missed."""
    options = _options()
    train = _balanced(_read(options.data / "train.csv"), options.rows)
    test = random.Random(77).sample(_read(options.data / "test.csv"), options.held_out)
    with running_application(options.base_url) as system:
        client = system.client(max_retries=10)  # an hour of polling outlives a proxy's restart
        before = _target(client)
        evaluation = upload(client, "held-out", _rows(test))
        base = _accuracy(client, MODEL, test)
        print(f"{MODEL}: {base:.3f} of {len(test)} questions", flush=True)
        good = _trained(client, "banking", train, evaluation, options.threads)
        answered_by = _target(client)
        alias = _accuracy(client, ALIAS, test)
        print(f"{ALIAS}, now {answered_by}: {alias:.3f}", flush=True)
        nonsense = _shuffled(train[: options.shuffled_rows])
        bad = _trained(client, "shuffled", nonsense, evaluation, options.threads)
        after = _target(client)
    rows = [
        ("base model, exact match", base, "< 0.10", base < 0.10),
        ("alias, exact match", alias, ">= 0.80", alias >= 0.80),
        ("training, min", good.training_s / 60, "<= 25", good.training_s <= 25 * 60),
        ("gate, min", good.gate_s / 60, "", True),
        (
            "gate's verdict",
            good.verdict,
            "promote, by itself",
            good.promoted and before != good.adapter == answered_by,
        ),
        ("shuffled labels, exact match", bad.candidate, "", True),
        (
            "gate's verdict on them",
            bad.verdict,
            "not promote",
            bad.verdict != "promote" and not bad.promoted and after == answered_by,
        ),
    ]
    title = f"BANKING77: {len(train)} rows, {len(test)} held-out questions"
    columns = ("figure", "value", "bar", "met")
    report("banking77", title, columns, rows, good=good._asdict(), shuffled=bad._asdict())
    return 0 if all(row[-1] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/banking77"))
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--rows", type=int, default=5500, help="to train on")
    parser.add_argument("--shuffled-rows", type=int, default=550, help="to train nonsense on")
    parser.add_argument("--held-out", type=int, default=500, help="questions of the test set")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="for training")
    return parser.parse_args()


def _read(path: Path) -> list[Question]:
    with path.open(newline="", encoding="utf-8") as opened:
        return [
            Question(row["text"], row["category"].replace("_", " "))
            for row in csv.DictReader(opened)
        ]


def _balanced(questions: Sequence[Question], count: int) -> list[Question]:
    """`count` questions, of each intent as equally many as there are, in random order."""
    drawn = list(questions)
    random.Random(0).shuffle(drawn)
    turn: dict[str, int] = defaultdict(int)
    numbered = []
    for question in drawn:
        numbered.append((turn[question.label], question))
        turn[question.label] += 1
    chosen = [question for _, question in sorted(numbered, key=lambda pair: pair[0])[:count]]
    random.Random(1).shuffle(chosen)
    return chosen


def _shuffled(questions: Sequence[Question]) -> list[Question]:
    labels = [question.label for question in questions]
    random.Random(2).shuffle(labels)
    return [Question(q.text, label) for q, label in zip(questions, labels, strict=True)]


def _rows(questions: Sequence[Question]) -> list[dict[str, Any]]:
    return [chat_row(SYSTEM, question.text, question.label) for question in questions]


def _accuracy(client: OpenAI, model: str, questions: Sequence[Question]) -> float:
    """Share of the questions that are answered with the label, and nothing else."""

    def right(question: Question) -> bool:
        answer = client.chat.completions.create(
            model=model,
            messages=[
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": question.text},
            ],
            temperature=0,
            max_tokens=ANSWER_TOKENS,
        )
        return (answer.choices[0].message.content or "").strip() == question.label

    with ThreadPoolExecutor(CONCURRENCY) as pool:
        return sum(pool.map(right, questions)) / len(questions)


def _target(client: OpenAI) -> str:
    """What the alias answers by."""
    alias: Any = client.get(f"/aliases/{ALIAS}", cast_to=object)
    return str(alias["target"])


def _trained(
    client: OpenAI, name: str, train: Sequence[Question], evaluation: str, threads: int
) -> Trained:
    """Train, and wait for what the gate says. Raises RuntimeError where either fails."""
    print(f"{name}: {len(train)} rows", flush=True)
    made = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=upload(client, name, _rows(train)),
        method={"type": "supervised", "supervised": {"hyperparameters": {"batch_size": BATCH}}},
        suffix=name,
        seed=0,
        extra_body={
            "evaluation_file": evaluation,
            "alias": ALIAS,
            "training": {**TRAINING, "workers": {"threads": threads}},
        },
    )
    job: Any = await_job(client, made.id)
    began = time.monotonic()
    run = await_gate(client, job.gate_run)
    gate_s = time.monotonic() - began
    found, verdict = run["report"]["evidence"]["comparison"], run["report"]["verdict"]
    for check in verdict["checks"]:
        print(f"  {check['result']:<8} {check['reason']}", flush=True)
    reasons = [check["reason"] for check in verdict["checks"] if check["result"] != "pass"]
    return Trained(
        job=job.id,
        adapter=job.fine_tuned_model,
        training_s=job.finished_at - job.started_at,
        gate_s=gate_s,
        verdict=run["verdict"],
        promoted=_promoted(client, run["id"]),
        reasons=reasons,
        candidate=found["candidate"],
        champion=found["champion"],
        report=job.report,
    )


def _promoted(client: OpenAI, gate_id: str) -> bool:
    """Whether the alias moved on this run's word; it does so after the verdict is written."""
    deadline = time.monotonic() + 30
    while True:
        run: Any = client.get(f"/gate_runs/{gate_id}", cast_to=object)
        if run["promoted"] or run["verdict"] != "promote" or time.monotonic() > deadline:
            return bool(run["promoted"])
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
