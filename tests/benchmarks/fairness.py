"""What a noisy project costs another one that keeps to its share.

    python -m tests.benchmarks.fairness [--seconds 30]

The real gateway, with keys, over a light model with `--slots` places, of which each call takes
`--service-ms`. The quiet project asks for a quarter of what the model can do: first alone, then
beside one that asks for ten times its own share, which is half.

Bar: the quiet project's p95 is at most one service time above what it was alone, and all of its
requests are answered. A place is never taken from a call that runs, so that the first to wait waits
until one of the places is free; after that, its turn comes before what the noisy one piled up.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from cluster.database import Database
from cluster.keys import key_digest, mint_key
from cluster.records import ApiKey, Project
from tests.benchmarks.offered_load import Sent, offer, p95_ms
from tests.benchmarks.reporting import report
from tests.benchmarks.token_path import running
from tests.fixtures.system import free_port

_DEADLINE_S: Final = 30.0
_NOISY_TIMES: Final = 10
_PROJECTS: Final = ("noisy", "quiet")


def main() -> int:
    """Measure and report; 1 where a bar is missed."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'records.db'}"
        keys = _records(url)
        port = free_port()
        command = [sys.executable, "-m", "tests.benchmarks.light_gateway", "--port", str(port)]
        command += ["--folder", str(folder), "--database", url, "--keys=required"]
        command += [f"--slots={options.slots}", f"--service-ms={options.service_ms}"]
        with running(command, {}, f"http://127.0.0.1:{port}/healthz"):
            return _measured(options, f"http://127.0.0.1:{port}/v1", keys)


def _measured(options: argparse.Namespace, url: str, keys: dict[str, str]) -> int:
    def phase(seconds: float, **rates: float) -> list[Sent]:
        return asyncio.run(offer(url, rates, seconds, _DEADLINE_S, keys))

    most = options.slots / (options.service_ms / 1000)
    phase(3, quiet=most / 4)
    alone = phase(options.seconds, quiet=most / 4)
    both = phase(options.seconds, quiet=most / 4, noisy=most / 2 * _NOISY_TIMES)
    quiet = [one for one in both if one.who == "quiet"]
    noisy = [one for one in both if one.who == "noisy"]
    failed = sum(one.status != 200 for one in quiet)
    bar_ms = p95_ms(alone) + options.service_ms
    rows: list[tuple[str, object, str, bool]] = [
        ("quiet project alone: p95, ms", p95_ms(alone), "", True),
        (
            "beside the noisy one: p95, ms",
            p95_ms(quiet),
            f"≤ {bar_ms:.0f}",
            p95_ms(quiet) <= bar_ms,
        ),
        ("its requests that failed", failed, "0", failed == 0),
        ("noisy project: p95, ms", p95_ms(noisy), "", True),
        ("noisy project: answered", sum(one.status == 200 for one in noisy), "", True),
        ("noisy project: refused", sum(one.status == 429 for one in noisy), "", True),
    ]
    title = f"A project at {_NOISY_TIMES} times its share for {options.seconds:g} s"
    report("fairness", title, ("figure", "value", "bar", "met"), rows, options=vars(options))
    return 0 if all(row[-1] for row in rows) else 1


def _records(url: str) -> dict[str, str]:
    """Make the projects, and a key of each; the keys."""
    database = Database(url, pool_size=1)
    database.migrate()
    keys = {}
    with database.session() as session:
        for name in _PROJECTS:
            keys[name] = mint_key()
            session.add(Project(id=f"proj_{name}", name=name))
            session.add(
                ApiKey(
                    id=f"key_{name}",
                    project_id=f"proj_{name}",
                    digest=key_digest(keys[name]),
                    shown=name,
                    scopes=["inference"],
                )
            )
    database.close()
    return keys


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="of each phase")
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--service-ms", type=float, default=800.0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
