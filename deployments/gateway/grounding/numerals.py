"""Numbers as texts write them, brought to one form."""

import re
from typing import Final

__all__ = ["SCALES", "UNITS", "number_value", "scaled"]

_NUMBER_WORDS: Final = {
    word: str(value)
    for value, word in enumerate(
        (
            *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
            *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
            *("seventeen", "eighteen", "nineteen", "twenty"),
        )
    )
} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70",
    "eighty": "80", "ninety": "90", "once": "1", "twice": "2", "thrice": "3",
}  # fmt: skip
SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINAL: Final = re.compile(r"(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")

UNITS: Final = {
    word: canonical
    for canonical, variants in {
        "percent": "% percent per-cent percentage",
        "dollar": "$ dollar dollars usd",
        "euro": "€ euro euros eur",
        "pound": "£ pound pounds gbp lb lbs",
        "minute": "minute minutes min mins",
        "hour": "hour hours hr hrs h",
        "second": "second seconds sec secs s",
        "millisecond": "millisecond milliseconds ms",
        "day": "day days",
        "week": "week weeks",
        "month": "month months",
        "year": "year years yr yrs",
        "kilometre": "kilometre kilometres kilometer kilometers km",
        "metre": "metre metres meter meters m",
        "centimetre": "centimetre centimetres centimeter centimeters cm",
        "millimetre": "millimetre millimetres millimeter millimeters mm",
        "mile": "mile miles mi",
        "foot": "foot feet ft",
        "inch": "inch inches",
        "kilogram": "kilogram kilograms kg",
        "gram": "gram grams g",
        "tonne": "tonne tonnes ton tons",
        "litre": "litre litres liter liters l",
        "degree": "° degree degrees",
        "kb": "kb kilobyte kilobytes",
        "mb": "mb megabyte megabytes",
        "gb": "gb gigabyte gigabytes",
        "kib": "kib",
        "mib": "mib",
        "gib": "gib",
    }.items()
    for word in variants.split()
}
"""Units as written, by their one name: `km`, `kilometers` → `kilometre`."""


def number_value(word: str) -> str | None:
    """`word` as a plain number where it is one: `1,200`, `twelve`, `3rd`, `0.50`."""
    folded = word.casefold()
    if folded in _NUMBER_WORDS:
        return _NUMBER_WORDS[folded]
    if ordinal := _ORDINAL.fullmatch(folded):
        return ordinal.group(1)
    if not _NUMBER.fullmatch(folded):
        return None
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", folded):
        folded = folded.replace(",", "")
    elif re.fullmatch(r"\d+,\d{1,2}", folded):
        folded = folded.replace(",", ".")
    try:
        return _plain(float(folded))
    except ValueError:
        return folded


def scaled(value: str, scale: str) -> str:
    """`1.2`, `thousand` → `1200`."""
    try:
        return _plain(float(value) * SCALES[scale.casefold()])
    except ValueError:
        return value


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else repr(number)
