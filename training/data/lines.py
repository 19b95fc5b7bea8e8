"""JSON Lines: one object a line, in UTF-8."""

from codecs import BOM_UTF8
from collections.abc import Iterator
from itertools import count
from typing import Any, BinaryIO, Final

from training.data.forms.values import seen
from training.data.problems import Problem
from training.data.strict_json import parse_json

__all__ = ["LONGEST", "Record", "decoded", "json_lines", "raw_lines"]

Record = tuple[int, dict[str, Any]]
"""A line number and the object that begins there."""

LONGEST: Final = 16 * 1024**2
"""Bytes of a line: what is read at once, and far more than any context holds."""

_OPENINGS: Final = frozenset({"[", "{", "[{"})


def json_lines(stream: BinaryIO) -> Iterator[Record | Problem]:
    """Each line's object, or what is wrong with the line. Blank lines count, and are no rows.

    A file that spreads one value over its lines is one problem, and the last.
    """
    first = True
    for number, raw in raw_lines(stream):
        text = raw if isinstance(raw, Problem) else decoded(raw, number)
        if isinstance(text, Problem):
            first = False
            yield text
            continue
        text = text.strip(" \t\r\n")
        if not text:
            continue
        if first and text in _OPENINGS:
            yield Problem(number, "", "opens a value that goes on below; write one row a line.")
            return
        first = False
        yield _row(number, text)


def raw_lines(stream: BinaryIO, first: int = 1) -> Iterator[tuple[int, bytes | Problem]]:
    """Each line from here on with its number, or that it is too long to be read."""
    for number in count(first):
        raw = stream.readline(LONGEST + 1)
        if not raw:
            return
        if len(raw) <= LONGEST or raw.endswith(b"\n"):
            yield number, raw
            continue
        while (rest := stream.readline(LONGEST)) and not rest.endswith(b"\n"):
            pass
        yield number, Problem(number, "", f"is longer than {LONGEST:,} bytes.")


def decoded(raw: bytes, number: int) -> str | Problem:
    """The line as text, without a byte order mark on line 1; or where it is not UTF-8."""
    if number == 1:
        raw = raw.removeprefix(BOM_UTF8)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{raw[error.start]:02x} at position {error.start + 1}"
        return Problem(number, "", f"is not UTF-8: {wrong}.")


def _row(number: int, text: str) -> Record | Problem:
    try:
        value = parse_json(text)
    except ValueError as error:
        return Problem(number, "", f"{error}.")
    if isinstance(value, list):
        return Problem(number, "", "is a list; write each row as an object on a line of its own.")
    if not isinstance(value, dict):
        return Problem(number, "", f"is {seen(value)}; a row is an object.")
    return number, value
