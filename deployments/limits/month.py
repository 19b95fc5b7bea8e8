"""Months, in UTC, as budgets count them."""

from datetime import UTC, datetime

__all__ = ["month_of", "seconds_left"]


def month_of(at: float) -> str:
    """The month of a time, in seconds since the epoch: `2026-11`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m")


def seconds_left(at: float) -> int:
    """Until the next month begins."""
    day = datetime.fromtimestamp(at, UTC)
    year, month = (day.year + 1, 1) if day.month == 12 else (day.year, day.month + 1)
    return int(datetime(year, month, 1, tzinfo=UTC).timestamp() - at) + 1
