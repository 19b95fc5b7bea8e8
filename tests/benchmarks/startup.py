"""How long `everloop up` takes, by stage: cold (empty data folder), warm (it has data), running.

    python -m tests.benchmarks.startup

The models are prepared before; fetching and converting them happens once per machine.
"""

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from cluster.models import ensure_model
from cluster.settings import load_settings
from tests.benchmarks.reporting import report
from tests.fixtures.system import test_environment

_STAGE: Final = re.compile(r"^✓ ([^:]+):.*\(([\d.]+) s\)", re.MULTILINE)


def main() -> None:
    """Start three times and report."""
    settings = load_settings()
    for source in [settings.embedding.source, *(model.source for model in settings.models)]:
        ensure_model(source, settings.cache_dir)
    with tempfile.TemporaryDirectory(prefix="everloop-bench-") as folder:
        environment = test_environment(Path(folder)) | {"COLUMNS": "400"}
        del environment["EVERLOOP_MODELS"]
        runs = {}
        try:
            runs["cold"] = _everloop(environment, "up")
            _everloop(environment, "down")
            runs["warm"] = _everloop(environment, "up")
            runs["running"] = _everloop(environment, "up")
        finally:
            _everloop(environment, "down")
    stages = list(runs["cold"])
    rows = [(stage, *(run.get(stage, 0.0) for run in runs.values())) for stage in stages]
    report("startup", "Seconds by stage of `everloop up`", ("stage", *runs), rows)


def _everloop(environment: dict[str, str], command: str) -> dict[str, float]:
    """Run a command; seconds by stage, and `whole`."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "cluster.cli", command],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
    )
    stages = {name: float(seconds) for name, seconds in _STAGE.findall(done.stdout + done.stderr)}
    return {**stages, "whole": time.perf_counter() - began}


if __name__ == "__main__":
    main()
