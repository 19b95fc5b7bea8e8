"""When a lease in the records counts no more: it is over, or a wrong clock gave it."""

from typing import Final

from sqlalchemy import ColumnElement, or_
from sqlalchemy.orm import InstrumentedAttribute

__all__ = ["has_lapsed", "lapsed"]

_TOO_FAR: Final = 2
"""Twice the longest lease: a clock that is corrected by seconds takes nothing from its owner."""


def has_lapsed(until: int | None, at: float, longest_s: float) -> bool:
    """Whether work that was leased until `until` is free; all in seconds since the epoch.

    No lease is given for longer than `longest_s`. One that ends much later was given before the
    clock was set back, and would otherwise hold for as long as it was wrong.
    """
    return until is None or until < at or until > at + _TOO_FAR * longest_s


def lapsed(
    until: "InstrumentedAttribute[int | None]", at: float, longest_s: float
) -> ColumnElement[bool]:
    """The same as a condition of a query."""
    return or_(until.is_(None), until < at, until > at + _TOO_FAR * longest_s)
