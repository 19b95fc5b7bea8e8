"""Half an hour of mixed traffic: does any process of the system grow?

    python -m tests.benchmarks.soak [--minutes 30] [--users 2] [--base-url URL --data-dir FOLDER]

A few users chat, stream, ask documents, upload and delete them, search, embed, give feedback,
write prompts, run small evals and list traces, each a little after the last answer. What they add
they delete, so that a process that grows does not do so with its data; traces and feedback stay.
Every ten seconds the resident memory of every process is read, without shared memory: the object
store has a size of its own. The tenth minute (a third of shorter runs: by then caches are warm) is
compared with the last one, by medians.

Bars: no process grows by more than 5 %, none is replaced, and no request fails.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from tests.benchmarks.application import running_application
from tests.benchmarks.process_memory import Growth, Sample, growths, sample
from tests.benchmarks.reporting import report
from tests.drills.promises import (
    BrokenPromiseError,
    Document,
    EvalRun,
    LabelMove,
    Ledger,
    Promise,
    StoredAnswer,
    broken_promises,
)
from tests.drills.traffic import Traffic, User, make_alias
from tests.fixtures.system import System

BAR_PERCENT: Final = 5.0
SAMPLE_S: Final = 10.0
BEFORE_MINUTE: Final = 10.0
PAUSE_S: Final = (0.3, 2.0)
SETTLE_S: Final = 120.0
MIB: Final = 1024.0


class Tenant(User):
    """A user who takes away what they brought."""

    def answer(self) -> StoredAnswer:
        """Ask from the documents, and forget the answer."""
        made = super().answer()
        self.client.responses.delete(made.response_id)
        return made

    def upload(self) -> Document:
        """Upload a document, wait until it is found, and delete it."""
        made = super().upload()
        self._settle(made)
        self.client.vector_stores.files.delete(made.file_id, vector_store_id=self.store_id)
        self.client.files.delete(made.file_id)
        return made

    def label(self) -> LabelMove:
        """Make a prompt, move its label, and delete it."""
        made = super().label()
        self.client.delete(f"/prompts/{made.prompt}", cast_to=object)
        return made

    def evaluate(self) -> EvalRun:
        """Run a small eval to its end, and delete it."""
        made = super().evaluate()
        self._settle(made)
        self.client.evals.delete(made.eval_id)
        return made

    def _settle(self, promise: Promise) -> None:
        if broken := broken_promises(self.client, [promise], SETTLE_S):
            raise BrokenPromiseError(broken[0])


def main() -> int:
    """Run, report, and say whether the bars were kept."""
    options = _options()
    with running_application(options.base_url) as started:
        system = replace(started, data_dir=options.data_dir) if options.data_dir else started
        samples, traffic = soak(system, options.minutes, options.users)
    before_s = 60 * min(BEFORE_MINUTE, options.minutes / 3)
    found = growths(samples, before_s)
    whole = [growth for growth in found if growth.percent is not None]
    replaced = [growth.process.name for growth in found if growth.percent is None]
    columns = ("process", "pid", f"MiB, minute {before_s / 60:.0f}", "MiB, end", "growth %", "bar")
    title = f"{options.minutes:g} minutes, {traffic.sent.total()} operations"
    report(
        "soak",
        title,
        columns,
        [_row(growth) for growth in whole],
        failed=dict(traffic.reasons),
        sent=dict(traffic.sent),
        new_or_ended=replaced,
        samples=[
            {"at_s": one.at_s, "kib": {f"{p.name} {p.pid}": kib for p, kib in one.kib.items()}}
            for one in samples
        ],
    )
    print(
        f"Failed: {dict(traffic.reasons) or 'none'}. Ended or new: {', '.join(replaced) or 'none'}"
    )
    return 0 if kept_bars(found) and not traffic.failed else 1


def soak(system: System, minutes: float, user_count: int) -> tuple[list[Sample], Traffic]:
    """Traffic for so long; the samples of all processes meanwhile."""
    client = system.client(max_retries=0).with_options(timeout=60)
    make_alias(client)
    store = client.vector_stores.create(name="soak").id
    users = [Tenant(client, Ledger(), Random(f"soak:{n}"), store) for n in range(user_count)]
    samples, began = [], time.monotonic()
    most = int(minutes * 60 * 100)
    with Traffic(users, pause_s=PAUSE_S, most_requests=most) as traffic:
        while (at_s := time.monotonic() - began) < minutes * 60:
            samples.append(sample(system.data_dir, at_s))
            told = f"{at_s / 60:5.1f} min, {traffic.sent.total()} operations"
            print(f"{told}, {sum(samples[-1].kib.values()) / MIB:.0f} MiB", flush=True)
            time.sleep(max(0.0, began + len(samples) * SAMPLE_S - time.monotonic()))
    return samples, traffic


def kept_bars(found: Sequence[Growth]) -> bool:
    """Whether none grew beyond the bar and none of the system's own parts was replaced.

    Ray starts and ends idle workers as it likes.
    """
    grown = [one for one in found if one.percent is not None and one.percent > BAR_PERCENT]
    replaced = [one for one in found if one.percent is None and "IDLE" not in one.process.name]
    return not grown and not replaced


def _row(growth: Growth) -> tuple[str | int | float, ...]:
    before, after = growth.before_kib or 0.0, growth.after_kib or 0.0
    percent = growth.percent or 0.0
    kept = "kept" if percent <= BAR_PERCENT else "MISSED"
    process = growth.process
    return (process.name, process.pid, before / MIB, after / MIB, percent, kept)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--users", type=int, default=2)
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--data-dir", type=Path, help="of that one: its processes are known by it")
    options = parser.parse_args()
    if options.base_url and not options.data_dir:
        parser.error("--base-url needs --data-dir")
    return options


if __name__ == "__main__":
    sys.exit(main())
