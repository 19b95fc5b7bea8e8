"""`everloop eval SUITE --fail-under`: an unchanged prompt and a planted regression, many times.

    python -m tests.benchmarks.suite_verdicts [--base-url URL] [--rounds 10] [--fail-under 0.5]

The suite is the shipped `regression`, asked of the packaged model. The planted change makes
of its question a text to translate. Each round runs both as CI would, by the command
and its exit status: 0 kept, 1 not kept.

Bar: the unchanged suite passes and the changed one fails, ten times out of ten.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

import yaml

from tests.benchmarks.application import running_application
from tests.benchmarks.reporting import median, report
from tests.fixtures.system import System

_PLANTED: Final = "Translate into French: {{item.prompt}}"
_SUITE: Final = "regression"


def main() -> int:
    """Run the rounds and report; 1 where the bar is missed."""
    options = _options()
    with running_application(options.base_url) as system, tempfile.TemporaryDirectory() as place:
        unchanged, changed = _suites(Path(place))
        rounds = [
            (_verdict(system, unchanged, options), _verdict(system, changed, options))
            for _ in range(options.rounds)
        ]
    passes = sum(status == 0 for (status, _), _ in rounds)
    fails = sum(status == 1 for _, (status, _) in rounds)
    rows = [
        ("unchanged: passed", passes, options.rounds, passes == options.rounds),
        ("planted regression: failed", fails, options.rounds, fails == options.rounds),
        ("seconds of a run, median", median(s for pair in rounds for _, s in pair), "", True),
    ]
    title = f"everloop eval {_SUITE}.yaml --fail-under {options.fail_under:g}"
    report("suite_verdicts", title, ("figure", "value", "bar", "met"), rows, rounds=rounds)
    return 0 if all(row[-1] for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-url", help="an Everloop that is up; default: one of its own")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--fail-under", type=float, default=0.5)
    return parser.parse_args()


def _suites(place: Path) -> tuple[Path, Path]:
    """The shipped suite, without its own thresholds, and the same with the planted change."""
    with as_file(files("deployments.evaluation.suites") / "samples") as samples:
        suite: dict[str, Any] = yaml.safe_load((samples / f"{_SUITE}.yaml").read_text())
        (place / f"{_SUITE}.jsonl").write_bytes((samples / f"{_SUITE}.jsonl").read_bytes())
    del suite["thresholds"]
    unchanged, changed = place / "unchanged.yaml", place / "changed.yaml"
    unchanged.write_text(yaml.safe_dump(suite))
    suite["answers"]["messages"][-1]["content"] = _PLANTED
    changed.write_text(yaml.safe_dump(suite))
    return unchanged, changed


def _verdict(system: System, suite: Path, options: argparse.Namespace) -> tuple[int, float]:
    """Exit status and seconds. Raises RuntimeError where the suite could not be run."""
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cluster.cli", "eval", str(suite)),
            *("--fail-under", str(options.fail_under), "--base-url", system.base_url),
        ],
        env=system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode not in (0, 1):
        raise RuntimeError(f"everloop eval ended with {done.returncode}:\n{done.stderr[-2000:]}")
    seconds = time.monotonic() - began
    print(f"{suite.stem}: {done.returncode}, {seconds:.0f} s", flush=True)
    return done.returncode, seconds


if __name__ == "__main__":
    sys.exit(main())
