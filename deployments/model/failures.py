"""From vLLM's errors to what the client is told."""

import re
from collections.abc import Sequence
from typing import Any, Final

from deployments.errors import (
    ENGINE_FAILED,
    InvalidRequest,
    NotFound,
    RequestError,
    Unavailable,
    Unprocessable,
)

__all__ = ["context_overflow", "engine_error", "invalid_fields", "is_overflow"]

_OVERFLOW: Final = re.compile(
    r"maximum context length|maximum model length|max_model_len|max_seq_len"
)
_VALUE_NOTE: Final = re.compile(r" \(parameter=.*\)$", re.DOTALL)
_SHOWN: Final = 120
_PYDANTICS: Final = re.compile(r"\d+ validation errors? for ")
"""Parts of a message are looked at when vLLM reads them: what is wrong with one comes as a text."""
_PYDANTIC_NOTE: Final = re.compile(r" \[type=.*\]$")


def is_overflow(message: str) -> bool:
    """Whether vLLM says that prompt and answer do not fit the context."""
    return _OVERFLOW.search(message) is not None


def context_overflow(
    prompt_tokens: int, answer_tokens: int | None, allowed: int, param: str
) -> InvalidRequest:
    """The error of a request that does not fit: tokens sent, tokens allowed."""
    asked = f" and {answer_tokens} were asked for the answer" if answer_tokens else ""
    return InvalidRequest(
        f"This model's context is {allowed} tokens, prompt and answer together. The prompt has "
        f"{prompt_tokens} tokens{asked}. Shorten the prompt or ask for a shorter answer.",
        param=param,
        code="context_length_exceeded",
    )


def engine_error(message: str, status: int, param: str | None = None) -> RequestError:
    """Map what vLLM says with an HTTP status. Its 5xx and overload are ours to retry: 503."""
    text = _VALUE_NOTE.sub("", message)
    if _PYDANTICS.match(text):
        text = f"A part of the request is not as it must be. {_reasons(text)}"
    if status >= 500 or status == 429:
        return Unavailable(f"The engine failed: {text}", code=ENGINE_FAILED, retry_after_s=5)
    if status == 404:
        return NotFound(text, param=param, code="not_found")
    if status == 422:
        return Unprocessable(text, param=param)
    return InvalidRequest(text, param=param, code="invalid_value")


def _reasons(text: str) -> str:
    """What pydantic says of each form that a value may have, once, without values and addresses."""
    lines = [line for line in text.splitlines()[1:] if line.startswith("  ")]
    said = [_PYDANTIC_NOTE.sub("", line.strip()) for line in lines if line[2:3] != " "]
    return " Or: ".join(f"{one.rstrip('.')}." for one in dict.fromkeys(said))[:1000]


def invalid_fields(errors: Sequence[Any]) -> InvalidRequest:
    """What pydantic found, for the first field that is wrong."""
    first = errors[0]
    parts = [str(part) for part in first["loc"] if not _is_union_member(part)]
    param = ".".join(parts) or None
    text = str(first["msg"]).removeprefix("Value error, ").rstrip(".")
    if first["type"] == "missing":
        return InvalidRequest(f"{param} is required.", param=param, code="missing_parameter")
    if param is None:
        return InvalidRequest(f"{_VALUE_NOTE.sub('', text)}.", code="invalid_value")
    shown = repr(first.get("input"))
    shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
    return InvalidRequest(f"{param} is {shown}. {text}.", param=param, code="invalid_value")


def _is_union_member(part: object) -> bool:
    """Pydantic names the member of a union that it tried, such as `list[str]` or `ImageParam`."""
    return isinstance(part, str) and (part[:1].isupper() or "[" in part or part in _SCALARS)


_SCALARS: Final = frozenset({"str", "int", "float", "bool", "none", "dict", "list"})
