"""`metadata` of a row, in every form: what the row says of itself, such as its topic or source.

The gate's slices go by it. Nothing is trained on it.
"""

from typing import Any, Final

from training.data.forms.values import Say, seen

__all__ = ["METADATA", "check_metadata"]

METADATA: Final = "metadata"


def check_metadata(value: Any, say: Say) -> None:
    """Report what is no object of texts, numbers and truth values."""
    if value is None:
        return
    if not isinstance(value, dict):
        say(METADATA, f"is {seen(value)}; it must be an object.")
        return
    for name, item in value.items():
        if not isinstance(item, str | int | float | bool):
            say(f"{METADATA}.{name}", f"is {seen(item)}; it must be a text, number or truth value.")
