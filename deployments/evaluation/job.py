"""A suite as one command.

    python -m deployments.evaluation.job --suite suite.yaml [--fail-under NUMBER] [--out FOLDER]
    ray job submit -- python -m deployments.evaluation.job --suite /data/suite.yaml

What `everloop eval` does, by the same code, with lines in place of a bar. An interruption, by
Ctrl-C or `ray job stop`, cancels the run. Exit status: 0 every check was kept, 1 not, or the run
failed, 2 the suite or an option is wrong, 3 no Everloop answers, 130 interrupted.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cluster.cli.exits import INTERRUPTED, code_of
from cluster.errors import EverloopError
from deployments.evaluation.suites.commands import run

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the module's docstring lists the exit statuses."""
    parser = argparse.ArgumentParser(
        prog="deployments.evaluation.job",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--suite", type=Path, required=True, help="YAML file of the suite")
    parser.add_argument(
        "--fail-under",
        action="append",
        default=[],
        metavar="NUMBER|GRADER=NUMBER",
        help="least pass rate of every pass-or-fail grader, or least mean of one; several",
    )
    parser.add_argument("--model", help="what answers, in place of the suite's")
    parser.add_argument("--baseline", metavar="RUN", help="the run to compare with")
    parser.add_argument("--junit", type=Path, help="JUnit XML file to write")
    parser.add_argument("--out", type=Path, help="folder for report.json and the page")
    parser.add_argument("--base-url", help="where Everloop answers; by default as the settings say")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # `ray job stop`
    try:
        return run(
            options.suite,
            fail_under=options.fail_under,
            model=options.model,
            baseline=options.baseline,
            junit=options.junit,
            out=options.out,
            base_url=options.base_url,
            as_json=options.json,
            cancels=lambda _console: True,
        )
    except EverloopError as error:
        print(error, file=sys.stderr)
        return code_of(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
