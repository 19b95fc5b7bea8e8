"""What a JSON body must be before any route reads it (RFC 8259), and how large its tree may be.

A request seldom has more than a few dozen brackets: then counting them is all the work.
"""

import json
import math
import re
from itertools import accumulate
from typing import Final

from deployments.errors import InvalidRequest

__all__ = ["check_json"]

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_NUMBER: Final = re.compile(rb"NaN|Infinity")
_WIDE: Final = re.compile(rb"[eE]\+?\d{3}|\d{309}")
"""Where a number may be that no double holds: the largest has 309 digits."""
_NUMBER: Final = re.compile(rb"\d[\d.]*(?:[eE][+-]?\d+)?")
_LONGEST_NUMBER: Final = 1000
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")
"""Of a pair, or of a half that no UTF-8 can hold."""


def check_json(body: bytes, *, max_depth: int, max_items: int) -> None:
    """Raise InvalidRequest where `body` is not what every parser agrees on.

    Not UTF-8, half of a surrogate pair, nested deeper than `max_depth`, more than `max_items`
    values, a number that no double holds, NaN or Infinity. Whether it parses is for the routes.
    """
    if 0 in body or body.startswith(b"\xef\xbb\xbf"):
        raise _invalid("it must be UTF-8 without a byte order mark or NUL", "invalid_json")
    brackets = body.count(b"[") + body.count(b"{")
    commas = body.count(b",")
    suspicious = _NO_NUMBER.search(body) or _WIDE.search(body)
    if brackets > max_depth or brackets + commas > max_items or suspicious:
        _check_tree(_STRING.sub(b'""', body), max_depth, max_items)
    if _SURROGATE.search(body):
        _check_text(body)


def _check_tree(bare: bytes, max_depth: int, max_items: int) -> None:
    """Check what is left where every string is empty."""
    items = bare.count(b"[") + bare.count(b"{") + bare.count(b",")
    if items > max_items:
        raise InvalidRequest(
            f"The request body has {items} values; {max_items} are allowed.",
            code="body_too_many_items",
        )
    steps = map(_STEPS.__getitem__, bare.translate(None, _NOT_BRACKETS))
    if max(accumulate(steps), default=0) > max_depth:
        raise InvalidRequest(
            f"The request body is nested deeper than the {max_depth} levels allowed.",
            code="body_too_deep",
        )
    if found := _NO_NUMBER.search(bare):
        raise _invalid(f"{found.group().decode()} is no JSON number", "invalid_json")
    for found in _NUMBER.finditer(bare):
        digits = found.group()
        if len(digits) > _LONGEST_NUMBER or _is_infinite(digits):
            raise _invalid("a number is too large", "number_out_of_range")


def _check_text(body: bytes) -> None:
    try:
        value = json.loads(body)
    except ValueError:
        return
    fields = value if isinstance(value, dict) else {"": value}
    for name, field in fields.items():
        try:
            json.dumps({name: field}, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            param = name.encode(errors="backslashreplace").decode() or None
            raise InvalidRequest(
                f"{param or 'The request body'} holds half of a surrogate pair, which is no text.",
                param=param,
                code="invalid_json",
            ) from None


def _is_infinite(digits: bytes) -> bool:
    try:
        return math.isinf(float(digits))
    except ValueError:  # such as 1.2.3: the route says that it is no JSON
        return False


def _invalid(reason: str, code: str) -> InvalidRequest:
    return InvalidRequest(f"The request body is not valid JSON: {reason}.", code=code)
