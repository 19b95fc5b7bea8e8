"""The formula of a `multi` grader: arithmetic, and nothing that is not."""

import pytest

from deployments.evaluation.graders.formula import Formula, FormulaError

VALUES = {"a": 0.5, "b": 2.0}


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("a + b", 2.5),
        ("0.7 * a + 0.3 * b", 0.95),
        ("-a", -0.5),
        ("b ^ 3", 8.0),
        ("max(a, b, 1) - min(a, b)", 1.5),
        ("sqrt(b * b) / abs(-4)", 0.5),
        ("floor(b + a) + ceil(a)", 3.0),
        ("log(exp(b))", 2.0),
    ],
)
def test_arithmetic(formula: str, value: float) -> None:
    assert Formula(formula, VALUES).value(VALUES) == pytest.approx(value)


@pytest.mark.parametrize(
    "formula",
    [
        "",
        "a +",
        "c + a",
        "__import__('os')",
        "a.real",
        "a if b else 0",
        "[a for a in b]",
        "max(a)",
        "sqrt(a, b)",
        "max(*a)",
        "'a' * 9",
        "True",
        "(lambda: a)()",
        "a" * 1001,
    ],
)
def test_anything_else_is_refused(formula: str) -> None:
    with pytest.raises(FormulaError):
        Formula(formula, VALUES)


@pytest.mark.parametrize("formula", ["a / (b - 2)", "9 ^ 9 ^ 9", "log(0 * a)", "exp(999) * a"])
def test_a_formula_without_a_value_says_so(formula: str) -> None:
    with pytest.raises(FormulaError):
        Formula(formula, VALUES).value(VALUES)
