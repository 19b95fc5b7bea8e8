"""Which columns of a table hold what."""

from collections.abc import Collection, Mapping
from typing import Any, Final, Self

from pydantic import model_validator

from cluster.sections.section import Section
from training.data.forms.values import Say, listed, seen
from training.data.strict_json import parse_json

__all__ = ["Columns", "cells_to_record"]

_USUAL: Final = ("prompt", "completion", "system", "messages", "tools")


class Columns(Section):
    """Names of columns: of a prompt and its completion, or of whole conversations."""

    prompt: str | None = None
    """Column of prompts."""
    completion: str | None = None
    """Column of completions."""
    system: str | None = None
    """Column of system prompts; an empty cell is none. Makes conversations of the rows."""
    messages: str | None = None
    """Column of lists of messages (Parquet), or of JSON of such a list."""
    tools: str | None = None
    """Column of lists of tools beside `messages`; an empty cell is none."""
    chat: bool = False
    """A prompt and its completion become a user's and the assistant's message, not bare text."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = (self.prompt, self.completion)
        if self.messages is None:
            if None in pair:
                raise ValueError("name the columns of `prompt` and `completion`, or of `messages`")
            if self.tools is not None:
                raise ValueError("`tools` goes with `messages`")
        elif any((*pair, self.system)) or self.chat:
            raise ValueError("`messages` excludes `prompt`, `completion`, `system` and `chat`")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"each column can be named once; named are {', '.join(self.names)}")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read."""
        return tuple(name for part in _USUAL if (name := getattr(self, part)) is not None)

    @classmethod
    def usual(cls, present: Collection[str]) -> "Columns | None":
        """The mapping of a table whose columns have the names of the parts; None for another."""
        if "messages" in present:
            return cls(messages="messages", tools="tools" if "tools" in present else None)
        if "prompt" in present and "completion" in present:
            system = "system" if "system" in present else None
            return cls(prompt="prompt", completion="completion", system=system)
        return None

    def missing(self, present: Collection[str]) -> str:
        """The sentence that says which columns are not there; empty when all are."""
        absent = [name for name in self.names if name not in present]
        if not absent:
            return ""
        return f"has no column {listed(absent)}; its columns are {listed(list(present))}."


def cells_to_record(cells: Mapping[str, Any], columns: Columns, say: Say) -> dict[str, Any] | None:
    """The row of a form that the cells of one table row stand for; None where `say` was told why.

    `cells` by the name of their column. Messages are still to be checked.
    """
    if columns.messages is not None:
        record = {"messages": _parsed(cells[columns.messages], columns.messages, say)}
        if columns.tools is not None and cells[columns.tools] not in (None, ""):
            record["tools"] = _parsed(cells[columns.tools], columns.tools, say)
        return None if None in record.values() else record
    prompt = _text(cells, columns.prompt or "", say)
    completion = _text(cells, columns.completion or "", say)
    system: str | None = ""
    if columns.system is not None and cells[columns.system] is not None:
        system = _text(cells, columns.system, say)
    if completion == "":
        say(columns.completion or "", "is empty: there is no token to train on.")
    if prompt is None or not completion or system is None:
        return None
    if columns.system is None and not columns.chat:
        return {"prompt": prompt, "completion": completion}
    spoken = (("system", system), ("user", prompt), ("assistant", completion))
    messages = [
        {"role": role, "content": text} for role, text in spoken if text or role != "system"
    ]
    return {"messages": messages}


def _text(cells: Mapping[str, Any], column: str, say: Say) -> str | None:
    value = cells[column]
    if isinstance(value, str):
        return value
    say(column, "is empty." if value is None else f"is {seen(value)}; it must be text.")
    return None


def _parsed(value: Any, column: str, say: Say) -> Any:
    if value is None or value == "":
        say(column, "is empty.")
        return None
    if not isinstance(value, str):
        return _without_nulls(value)
    try:
        parsed = parse_json(value)
    except ValueError as error:
        say(column, f"{error}.")
        return None
    if parsed is None:
        say(column, "is null.")
    return parsed


def _without_nulls(value: Any) -> Any:
    """A nested cell without what other rows have and this one does not: Parquet pads with nulls."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(part) for part in value]
    return value
