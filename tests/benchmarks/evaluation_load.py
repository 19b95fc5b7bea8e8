"""An evaluation of 1,000 items beside users: what they notice of it, and what a kill -9 costs it.

    python -m tests.benchmarks.evaluation_load [--items 1000] [--calls 60] [--callers 2]

An application of its own answers `--callers` users, one call after the other each, before a run
over `--items` items, while it goes on, and after it. When a third of the items is done, the
Evaluator's replica is killed with SIGKILL; the run must end by itself with exactly one result for
each item.

Bars: the 95th percentile of users' calls during the run less than 1.25 times that without it; each
of the items has exactly one result.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psutil
from openai import OpenAI

from cluster.launch.processes import cluster_id, marked_processes
from tests.benchmarks.application import running_application
from tests.benchmarks.reporting import median, percentile, report
from tests.fixtures.system import System

MODEL: Final = "smollm2-135m-instruct"
_ANSWER_TOKENS: Final = 24
_EVALUATED_TOKENS: Final = 8
_LONGEST_S: Final = 3600.0
_REPLICA: Final = "ServeReplica:everloop:Evaluator"


def main() -> int:
    """Measure and report; 1 where a bar is missed."""
    options = _options()
    with running_application() as system:
        client = system.client(max_retries=10)
        _users(client, 4, options.callers)  # warm
        before = _users(client, options.calls, options.callers)
        run = _start(client, options.items)
        _await(client, run, options.items // 50)
        during = _users(client, options.calls, options.callers)
        _await(client, run, options.items // 3)
        done_at_kill = _done(client, run)
        _kill(system)
        killed = time.monotonic()
        _await(client, run, done_at_kill + 1)
        recovered_s = time.monotonic() - killed
        ended = _await_end(client, run)
        after = _users(client, options.calls, options.callers)
        numbers = [item.datasource_item_id for item in _items(client, run)]
    quiet = [*before, *after]
    ratio = percentile(during, 0.95) / percentile(quiet, 0.95)
    exact = sorted(numbers) == list(range(options.items))
    rows = [
        ("users' p95 without the run, s", percentile(quiet, 0.95), "", True),
        ("users' p95 beside the run, s", percentile(during, 0.95), "", True),
        ("ratio", ratio, "< 1.25", ratio < 1.25),
        ("users' median, ratio", median(during) / median(quiet), "", True),
        ("results when it was killed", done_at_kill, "", True),
        ("s to the next result", recovered_s, "", True),
        ("results", len(numbers), f"{options.items}, one each", exact),
        ("the run", ended, "completed", ended == "completed"),
    ]
    title = f"An evaluation of {options.items} items beside {options.callers} users"
    report("evaluation_load", title, ("figure", "value", "bar", "met"), rows)
    return 0 if all(row[-1] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--calls", type=int, default=60, help="of users, in each phase")
    parser.add_argument("--callers", type=int, default=2, help="users at once")
    return parser.parse_args()


def _users(client: OpenAI, calls: int, callers: int) -> list[float]:
    """Seconds of each call."""

    def call(number: int) -> float:
        began = time.monotonic()
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Tell me fact {number} about the sea."}],
            max_tokens=_ANSWER_TOKENS,
            temperature=0,
        )
        return time.monotonic() - began

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(calls)))


def _start(client: OpenAI, items: int) -> tuple[str, str]:
    """An eval with one run over so many items; their ids."""
    made = client.evals.create(
        name="load",
        data_source_config={
            "type": "custom",
            "item_schema": {
                "type": "object",
                "properties": {"number": {"type": "integer"}},
                "required": ["number"],
            },
            "include_sample_schema": True,
        },
        testing_criteria=[
            {
                "type": "string_check",
                "name": "says the number",
                "operation": "like",
                "input": "{{sample.output_text}}",
                "reference": "{{item.number}}",
            }
        ],
    )
    run = client.evals.runs.create(
        made.id,
        name="load",
        data_source={
            "type": "completions",
            "model": MODEL,
            "source": {
                "type": "file_content",
                "content": [{"item": {"number": number}} for number in range(items)],
            },
            "input_messages": {
                "type": "template",
                "template": [{"role": "user", "content": "Repeat the number {{item.number}}."}],
            },
            "sampling_params": {"temperature": 0, "max_completion_tokens": _EVALUATED_TOKENS},
        },
    )
    return made.id, run.id


def _done(client: OpenAI, run: tuple[str, str]) -> int:
    counts = client.evals.runs.retrieve(run[1], eval_id=run[0]).result_counts
    return counts.passed + counts.failed + counts.errored


def _await(client: OpenAI, run: tuple[str, str], done: int) -> None:
    """Until so many items are done. Raises TimeoutError after an hour."""
    deadline = time.monotonic() + _LONGEST_S
    while _done(client, run) < done:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{_done(client, run)} of {done} items after an hour")
        time.sleep(0.5)


def _await_end(client: OpenAI, run: tuple[str, str]) -> str:
    deadline = time.monotonic() + _LONGEST_S
    while time.monotonic() < deadline:
        status = client.evals.runs.retrieve(run[1], eval_id=run[0]).status
        if status not in ("queued", "in_progress"):
            return status
        time.sleep(1)
    return "unfinished"


def _items(client: OpenAI, run: tuple[str, str]) -> Iterator[Any]:
    yield from client.evals.runs.output_items.list(run[1], eval_id=run[0], limit=100)


def _kill(system: System) -> None:
    """SIGKILL to the Evaluator's replica. Raises LookupError without one."""
    for process in marked_processes(cluster_id(system.data_dir)):
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if _REPLICA in command:
            os.kill(process.pid, signal.SIGKILL)
            return
    raise LookupError(f"no process {_REPLICA}")


if __name__ == "__main__":
    sys.exit(main())
