"""Numbers in answers, and how near they are."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.evaluation.metrics.numbers import read_number
from tests.fixtures.answers import score, text_inputs


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", "42"),
        ("from 3-5", "5"),
        ("(1)-3", "3"),
        ("x = -4", "-4"),
        ("−7 degrees", "-7"),
        ("1,234.5 km", "1234.5"),
        ("[1,2,3]", "3"),
        (".5", ".5"),
        ("6.02e23 or so", "6.02e23"),
        ("$5.00.", "5.00"),
        ("答案是42", "42"),
        ("CO2", None),
        ("version 1.2.3", None),
        ("1e99999", None),
        ("none", None),
        ("", None),
    ],
)
def test_the_last_number_of_a_text(text: str, number: str | None) -> None:
    assert read_number(text) == (None if number is None else Decimal(number))


def test_a_comma_may_be_the_decimal_sign() -> None:
    assert read_number("1.234,5", decimal=",") == Decimal("1234.5")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**12)))
def test_a_number_is_read_as_python_writes_it(number: Decimal) -> None:
    assert read_number(f"{number:,f}", whole=True) == number
    assert read_number(f"it is {number:f}, exactly") == number


@pytest.mark.parametrize(
    ("answer", "reference", "options", "value"),
    [
        ("42", 42, {}, 1.0),
        ("42.0", "42", {}, 1.0),
        ("42.1", 42, {}, 0.0),
        # 1.1 - 1.0 is more than 0.1 in binary.
        ("1.1", 1, {"absolute": 0.1}, 1.0),
        ("1.11", 1, {"absolute": 0.1}, 0.0),
        ("95", 100, {"relative": 0.05}, 1.0),
        ("94.9", -100, {"relative": 0.05}, 0.0),
        ("-95", -100, {"relative": 0.05}, 1.0),
        # A share of the reference, not of the answer.
        ("105.1", 100, {"relative": 0.05}, 0.0),
        ("0.5", 0, {"relative": 0.5}, 0.0),
        ("it is 42", 42, {"where": "whole"}, 0.0),
        ("3,5", 3.5, {"decimal": ","}, 1.0),
        ("no number", 42, {"absolute": 1000}, 0.0),
        ("12345678901234567890123", 12345678901234567890124, {}, 0.0),
    ],
)
async def test_a_number_within_tolerance(
    answer: str, reference: Any, options: dict[str, Any], value: float
) -> None:
    (found,) = await score("numeric", text_inputs([answer], [reference]), **options)
    assert found.value == value


@pytest.mark.parametrize("reference", [None, True, "forty-two", "1 or 2", [42], float("nan")])
async def test_a_reference_that_is_no_number_is_told(reference: Any) -> None:
    (found,) = await score("numeric", text_inputs(["42"], [reference]))
    assert found.value is None
    assert "must be a number" in found.detail["reason"]
