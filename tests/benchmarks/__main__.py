"""Runs the benchmarks one after the other: `make bench`, or `make bench ARGS="startup"` for some.

`retrieval` drives the Everloop that is up, `grounding_stages`, `training_rate`, `training_memory`
and `drift` need their data named, `banking77` takes most of an hour: they are run by their
own commands.
"""

import subprocess
import sys
from typing import Final

BENCHMARKS: Final = (
    "startup",
    "token_path",
    "tracing",
    "ingestion_rate",
    "gate_statistics",
    "metric_rate",
    "evaluation_statistics",
    "anytime_statistics",
    "hot_swap",
    "fairness",
    "overload",
    "guards",
    "trust_overhead",
    "fact_check",
)


def main() -> int:
    """Run those named, or all; the first exit status that is not 0, else 0."""
    chosen = sys.argv[1:] or list(BENCHMARKS)
    if unknown := sorted(set(chosen) - set(BENCHMARKS)):
        print(f"No benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}.")
        return 2
    status = 0
    for name in chosen:
        done = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], check=False)
        status = status or done.returncode
    return status


if __name__ == "__main__":
    sys.exit(main())
