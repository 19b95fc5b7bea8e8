"""Rows of a prompt and how it goes on."""

from typing import Any, Final

from training.data.forms.values import Say, seen, unknown_keys

__all__ = ["check_completion"]

_KEYS: Final = ("prompt", "completion")


def check_completion(record: dict[str, Any], say: Say) -> None:
    """Report every problem of a prompt/completion row. The prompt may be empty."""
    unknown_keys(record, _KEYS, "", say)
    for key in _KEYS:
        value = record.get(key)
        if value is None:
            say(key, "is missing.")
        elif not isinstance(value, str):
            say(key, f"is {seen(value)}; it must be a string.")
    if record.get("completion") == "":
        say("completion", "is empty: there is no token to train on.")
