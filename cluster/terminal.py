"""What every command prints alike."""

import json
from datetime import UTC, datetime
from typing import Any

__all__ = ["print_json", "shown_time"]


def print_json(value: Any) -> None:
    """Write JSON to standard output, for `--json`."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def shown_time(seconds: float | None) -> str:
    """Seconds since the epoch as a date and time in UTC, to the minute; a dash for none."""
    return "-" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
