"""`everloop doctor`."""

import json
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.cli.exits import FAILED
from cluster.doctor import diagnose
from cluster.settings import load_settings

__all__ = ["run_doctor"]

_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def run_doctor(*, as_json: bool) -> int:
    """Print every check. Exit code 1 when one fails."""
    checks = diagnose(load_settings())
    failed = [check for check in checks if check.status == "fail"]
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, indent=2))
        return FAILED if failed else 0
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        finding = Text(f"{check.name}: {check.found}")
        if check.advice and check.status != "ok":
            finding.append(f"\n→ {check.advice}", style="bold")
        table.add_row(Text(check.status, style=_STYLES[check.status]), finding)
    console = Console()
    console.print(table)
    warned = sum(check.status == "warn" for check in checks)
    console.print(f"{len(checks)} checks: {len(failed)} failed, {warned} to look at.")
    return FAILED if failed else 0
