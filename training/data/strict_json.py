"""JSON as RFC 8259 has it, and nothing that only Python accepts."""

import json
from typing import Any, Final, NoReturn

__all__ = ["parse_json"]


def parse_json(text: str) -> Any:
    """The value that `text` holds.

    Raises ValueError whose message says what is wrong and at which column (from 1): no JSON, NaN,
    numbers of thousands of digits, half of a surrogate pair, thousands of levels.
    """
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno} in it"
        raise ValueError(f"is not JSON: {error.msg} at {place}") from None
    except RecursionError:
        raise ValueError("is nested too deep") from None
    if "\\ud" in text or "\\uD" in text:
        _refuse_halves(value)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"is not JSON: {constant} is no number there")


def _refuse_halves(value: Any) -> None:
    """A lone surrogate is no character: it can be neither stored nor tokenised."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(f"holds {half}, half of a surrogate pair, which is no character") from None


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse)
