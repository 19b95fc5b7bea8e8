"""What a judge may say, and what it is worth."""

import math
from dataclasses import dataclass
from typing import Final

from deployments.errors import InvalidRequest

__all__ = ["MOST_LABELS", "Choices", "scale"]

MOST_LABELS: Final = 100
_DIGITS: Final = tuple("0123456789")


@dataclass(frozen=True, slots=True)
class Choices:
    """The labels that the grammar allows. Raises InvalidRequest for what cannot be told apart."""

    labels: tuple[str, ...]
    values: tuple[float, ...] = ()
    """What each label is worth, ascending; empty where the labels have no order."""

    def __post_init__(self) -> None:
        found = len(self.labels)
        if not 2 <= found <= MOST_LABELS or len(set(self.labels)) < found:
            raise InvalidRequest(
                f"labels has {found} entries; 2 to {MOST_LABELS} different ones are allowed.",
                param="labels",
                code="invalid_value",
            )
        for label in self.labels:
            if not label or label != label.strip() or not label.isprintable():
                raise InvalidRequest(
                    f"labels has {label!r}; a label is printable text without blanks at its ends.",
                    param="labels",
                    code="invalid_value",
                )

    @property
    def ordinal(self) -> bool:
        """Whether the labels have values."""
        return bool(self.values)

    @property
    def exact(self) -> bool:
        """Whether each label says its value."""
        said = zip(self.labels, self.values, strict=False)
        return self.ordinal and all(float(label) == value for label, value in said)

    def value_of(self, label: str) -> float:
        """The value of a label. Raises ValueError for another one."""
        return self.values[self.labels.index(label)]

    def nearest(self, value: float) -> str:
        """The label whose value is nearest; of two as near, the lower."""
        distances = [abs(value - own) for own in self.values]
        return self.labels[distances.index(min(distances))]


def scale(low: float, high: float) -> Choices:
    """The scores of a range, each one digit, which every tokenizer has as a token of its own.

    Whole bounds from 0 to 9 that are two or more apart have their whole numbers; every other range
    has ten even steps, said as 0 to 9. Raises InvalidRequest for a range without extent.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise InvalidRequest(
            f"range is [{low:g}, {high:g}]; it must be two numbers, the lower one first.",
            param="range",
            code="invalid_value",
        )
    whole = float(low).is_integer() and float(high).is_integer()
    if whole and low >= 0 and high <= 9 and high - low >= 2:
        numbers = range(int(low), int(high) + 1)
        return Choices(tuple(map(str, numbers)), tuple(map(float, numbers)))
    steps = len(_DIGITS) - 1
    return Choices(_DIGITS, tuple(low + (high - low) * step / steps for step in range(steps + 1)))
