"""What is left of the service while five times as much is asked as it can do, and afterwards.

    python -m tests.benchmarks.overload [--seconds 60] [--factor 5] [--unqueued]

The real gateway over a light model with `--slots` places, of which each call takes `--service-ms`.
Every request has a deadline; goodput is answers within it per second. The rate is raised in steps
until goodput falls behind, which gives the best; then comes `--factor` times that for `--seconds`,
then half of the best again. `--unqueued` leaves the queue out, for comparison.

Bars: at least 90 % of the best goodput during overload, memory at most 10 % above what it was
halfway, p95 back to normal (1.5 times what it was before, or less) within 10 s.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from cluster.database import Database
from tests.benchmarks.offered_load import Sent, memory_mib, offer, p95_ms
from tests.benchmarks.reporting import report
from tests.benchmarks.token_path import running
from tests.fixtures.system import free_port

_GOODPUT: Final = 0.90
_GROWTH: Final = 1.10
_BACK_S: Final = 10.0
_NORMAL: Final = 1.5
_STEPS: Final = (0.6, 0.75, 0.9, 1.0, 1.1)
"""Of what the places of the model can do at most."""
_AFTER_S: Final = 15


def main() -> int:
    """Measure and report; 1 where a bar is missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'records.db'}"
        database = Database(url, pool_size=1)
        database.migrate()
        database.close()
        port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.light_gateway", "--port", str(port)]
        command += ["--folder", str(folder), "--database", url, f"--slots={options.slots}"]
        command += [f"--service-ms={options.service_ms}"]
        command += ["--unqueued"] if options.unqueued else []
        with running(command, {}, f"http://127.0.0.1:{port}/healthz"):
            return _measured(options, f"http://127.0.0.1:{port}/v1")


def _measured(options: argparse.Namespace, url: str) -> int:
    def phase(rate: float, seconds: float) -> list[Sent]:
        return asyncio.run(offer(url, {"all": rate}, seconds, options.deadline))

    async def overload() -> tuple[list[Sent], float]:
        rates = {"all": best * options.factor}
        offering = asyncio.create_task(offer(url, rates, options.seconds, options.deadline))
        await asyncio.sleep(options.seconds / 2)
        return await asyncio.gather(offering, asyncio.to_thread(memory_mib, url))

    service_s = options.service_ms / 1000
    most = options.slots / service_s
    phase(most / 2, 3)
    best = max(
        _goodput(phase(step * most, options.step), 2 * service_s, options.step) for step in _STEPS
    )
    normal = p95_ms(phase(best / 2, options.step))
    before = memory_mib(url)
    sent, halfway = asyncio.run(overload())
    after = memory_mib(url)
    back_s = _back(phase(best / 2, _AFTER_S), _NORMAL * normal)
    goodput = _goodput(sent, 2 * service_s, options.seconds)
    statuses = Counter(one.status for one in sent)
    rows: list[tuple[str, object, str, bool]] = [
        ("best goodput, answers/s", best, "", True),
        (f"goodput at {options.factor:g}x, answers/s", goodput, "", True),
        ("share of the best", goodput / best, f"≥ {_GOODPUT:g}", goodput >= _GOODPUT * best),
        ("requests by status", str(dict(sorted(statuses.items()))), "", True),
        ("p95 of those answered in overload, ms", p95_ms(sent), "", True),
        ("memory before, MiB", before, "", True),
        ("memory halfway, MiB", halfway, "", True),
        ("memory at the end, MiB", after, f"≤ {_GROWTH:g} x", after <= _GROWTH * halfway),
        ("normal p95, ms", normal, "", True),
        ("seconds until p95 is normal", back_s, f"≤ {_BACK_S:g}", back_s <= _BACK_S),
    ]
    title = f"Overload of {options.factor:g}x for {options.seconds:g} s" + (
        ", without a queue" if options.unqueued else ""
    )
    name = "overload_unqueued" if options.unqueued else "overload"
    report(name, title, ("figure", "value", "bar", "met"), rows, options=vars(options))
    return 0 if all(row[-1] for row in rows) else 1


def _goodput(sent: list[Sent], begin_s: float, end_s: float) -> float:
    """Answers in time per second, of those that ended within a part of the phase."""
    ended = [one.due_s + one.ms / 1000 for one in sent if one.in_time]
    return sum(begin_s <= at <= end_s for at in ended) / (end_s - begin_s)


def _back(sent: list[Sent], bar_ms: float) -> float:
    """Seconds from which on the p95 of every second is at most `bar_ms`."""
    seconds = range(_AFTER_S)
    late = [
        second
        for second in seconds
        if p95_ms([one for one in sent if int(one.due_s) == second]) > bar_ms
    ]
    return float(late[-1] + 1) if late else 0.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--factor", type=float, default=5.0)
    parser.add_argument("--step", type=float, default=5.0, help="seconds of each step before")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--service-ms", type=float, default=800.0)
    parser.add_argument("--deadline", type=float, default=6.0, help="seconds of each request")
    parser.add_argument("--unqueued", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
