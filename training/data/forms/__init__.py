"""The three forms that a row can have, and what is wrong with a row of each.

A row's form follows from its keys. A record that its form's check finds nothing wrong with becomes
an example by `training.data.records.example_of`.
"""

from collections.abc import Callable
from typing import Any, Final

from training.data.forms.chat import check_chat
from training.data.forms.completion import check_completion
from training.data.forms.metadata import METADATA, check_metadata
from training.data.forms.preference import OUTPUTS, check_preference
from training.data.forms.values import Say, listed
from training.data.rows import Kind

__all__ = ["CHECKS", "check_form", "form_of"]

CHECKS: Final[dict[Kind, Callable[[dict[str, Any], Say], None]]] = {
    "chat": check_chat,
    "preference": check_preference,
    "completion": check_completion,
}
_MARKS: Final[tuple[tuple[Kind, tuple[str, ...]], ...]] = (
    ("preference", ("input", *OUTPUTS)),
    ("chat", ("messages",)),
    ("completion", ("prompt", "completion")),
)


def form_of(record: dict[str, Any]) -> Kind | None:
    """The form whose keys the row has; None where it has no such key."""
    for form, marks in _MARKS:
        if any(mark in record for mark in marks):
            return form
    return None


def check_form(record: dict[str, Any], form: Kind | None, say: Say) -> None:
    """Report every problem of the row in `form`, or that it has none."""
    if form is not None:
        CHECKS[form]({key: value for key, value in record.items() if key != METADATA}, say)
        check_metadata(record.get(METADATA), say)
        return
    keys = f"the keys {listed(list(record)[:5])}" if record else "no key"
    say("", f"has {keys}; a row has `messages`, or `prompt` and `completion`, or `input` and two "
        "outputs.")  # fmt: skip
