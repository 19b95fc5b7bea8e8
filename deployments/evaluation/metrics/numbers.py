"""Whether the number that an answer states is near enough to the right one."""

import json
import re
from collections.abc import Mapping
from decimal import Decimal, localcontext
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from deployments.evaluation.cases import Score
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.metrics.scoring import Judge, NotApplicable, one_by_one, shown

__all__ = ["NUMBER_METRICS", "read_number"]

_PRECISION: Final = 50
"""Digits of the arithmetic: decimal, for 1.1 is within 0.1 of 1.0."""
# A sign counts where no word, number or bracket stands before it, so that «3-5» ends in 5; the 2 of
# «CO2» is no number, and the one after a Chinese character is. Four digits of exponent are what the
# arithmetic of decimals bears with room to spare.
_NUMBER: Final = re.compile(
    r"(?<![A-Za-z0-9_.])(?:(?<![)\]])[-+−])?"
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)?(?:\.[0-9]+|(?<=[0-9]))"
    r"(?:[eE][-+]?[0-9]{1,4})?(?![0-9]|\.[0-9]|[eE][-+]?[0-9])"
)
_SHOWN: Final = 60
_SWAPPED: Final = str.maketrans(".,", ",.")

Distance = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def read_number(text: str, *, whole: bool = False, decimal: str = ".") -> Decimal | None:
    """The last number in `text`, or with `whole` the one that it is; None where there is none.

    Digits may be grouped in threes, by the one of comma and point that is not the decimal sign: a
    list is read right where its commas have spaces after them.
    """
    if decimal == ",":
        text = text.translate(_SWAPPED)
    if whole:
        found = _NUMBER.fullmatch(text.strip())
        last = found and found.group()
    else:
        last = next(reversed([found.group() for found in _NUMBER.finditer(text)]), None)
    return Decimal(last.replace(",", "").replace("−", "-")) if last else None


def _numeric(options: Mapping[str, Any]) -> Judge:
    absolute = Decimal(str(options.get("absolute", 0.0)))
    relative = Decimal(str(options.get("relative", 0.0)))
    whole, decimal = options.get("where") == "whole", options.get("decimal", ".")

    def judge(answer: MetricInput) -> Score:
        reference = _reference(answer.reference)
        number = read_number(answer.prediction, whole=whole, decimal=decimal)
        if number is None:
            return Score(0.0, detail={"message": "the answer states no number"})
        with localcontext(prec=_PRECISION):
            near = abs(number - reference) <= max(absolute, relative * abs(reference))
        read = {"number": str(number)[:_SHOWN], "reference": str(reference)[:_SHOWN]}
        return Score(float(near), detail=read)

    return judge


def _reference(reference: Any) -> Decimal:
    text = reference if isinstance(reference, str) else json.dumps(reference, default=str)
    number = read_number(text, whole=True)
    if number is None:
        raise NotApplicable(f"The reference must be a number, not {shown(reference)}.")
    return number


NUMBER_METRICS: Final = (
    Metric(
        "numeric",
        "1 where the last number of the answer (`where`: `last`), or the answer as a number "
        "(`whole`), is no further from the reference than `absolute`, or than `relative` of it.",
        one_by_one(_numeric),
        binary=True,
        reference="number",
        options={
            "absolute": Distance,
            "relative": Distance,
            "where": Literal["last", "whole"],
            "decimal": Literal[".", ","],
        },
    ),
)
