"""An example and where it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from training.examples import ChatExample, Example, PreferenceExample, TextExample

__all__ = ["KINDS", "Kind", "Row", "kind_of"]

Kind = Literal["chat", "preference", "completion"]
KINDS: Final[tuple[Kind, ...]] = ("chat", "preference", "completion")

_KIND_OF: Final[dict[type, Kind]] = {
    ChatExample: "chat",
    PreferenceExample: "preference",
    TextExample: "completion",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One example of a dataset."""

    line: int
    """From 1, where it begins in its file; of a Parquet file the row. Unique in a dataset."""
    example: Example
    metadata: Mapping[str, str | float | bool] = field(default_factory=dict)
    """What the row says of itself, under that key; nothing is trained on it."""


def kind_of(example: Example) -> Kind:
    """The form that the example is written in."""
    return _KIND_OF[type(example)]
