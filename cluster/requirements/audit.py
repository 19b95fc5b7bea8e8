"""Ask what is known against the locked packages, and list what a release is made of.

`python -m cluster.requirements.audit` (a part of `make check`). Exit status 1 for a known fault
that `accepted.txt` does not name. Where the service with the known faults is not reached, nothing
is known: that is said, and fails only with `--strict`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cluster.requirements.install import LOCK, ROOT

__all__ = ["Audit", "accepted_faults", "read_audit"]

_ACCEPTED: Final = LOCK.parent / "accepted.txt"
_SBOM: Final = ROOT / "build" / "sbom.cdx.json"
_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found out."""

    audited: int
    """Packages that the service knows."""
    unknown: int
    """Packages that it does not know, or could not be asked about."""
    faults: tuple[str, ...]
    """`package version: ID (fixed in …)`, without the accepted ones."""


def read_audit(report: Mapping[str, Any], accepted: Mapping[str, str]) -> Audit:
    """Read pip-audit's JSON."""
    packages: list[dict[str, Any]] = report["dependencies"]
    audited = [package for package in packages if "skip_reason" not in package]
    faults = [
        f"{package['name']} {package['version']}: {fault['id']} "
        f"(fixed in {', '.join(fault['fix_versions']) or 'no version yet'})"
        for package in audited
        for fault in package["vulns"]
        if not {fault["id"], *fault.get("aliases", ())} & set(accepted)
    ]
    return Audit(len(audited), len(packages) - len(audited), tuple(faults))


def accepted_faults(text: str) -> dict[str, str]:
    """Read `ID reason` lines. Raises ValueError for one without a reason."""
    accepted = {}
    for line in text.splitlines():
        if not (words := line.partition("#")[0].strip()):
            continue
        name, _, reason = words.partition(" ")
        if not reason.strip():
            raise ValueError(f"{_ACCEPTED.name}: {name} is accepted without a reason.")
        accepted[name] = reason.strip()
    return accepted


def _ask() -> dict[str, Any]:
    """Have pip-audit look every locked version up; it installs and resolves nothing."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "audit.json"
        command = [sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps"]
        command += ["--requirement", str(LOCK), "--format", "json", "--output", str(report)]
        run = subprocess.run(
            [*command, "--progress-spinner", "off"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        if not report.is_file():
            raise SystemExit(f"✗ pip-audit failed: {run.stderr.strip()[-500:]}")
        return dict(json.loads(report.read_text()))


def _list_parts() -> None:
    """Write the software bill of materials, in CycloneDX's format."""
    _SBOM.parent.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(LOCK)]
    subprocess.run([*command, "--output-reproducible", "-o", str(_SBOM)], check=True)


def main(arguments: Sequence[str]) -> int:
    """Audit, list, say what came out."""
    parser = argparse.ArgumentParser(prog="python -m cluster.requirements.audit")
    parser.add_argument("--strict", action="store_true", help="fail where nothing could be asked")
    strict: bool = parser.parse_args(arguments).strict
    found = read_audit(_ask(), accepted_faults(_ACCEPTED.read_text()))
    _list_parts()
    print(f"Bill of materials: {_SBOM.relative_to(ROOT)}")
    for fault in found.faults:
        print(f"✗ {fault}", file=sys.stderr)
    if not found.audited:
        print("! The service with known faults was not reached: no package was audited.")
        return int(strict)
    print(f"{found.audited} packages audited, {found.unknown} unknown to the service.")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
