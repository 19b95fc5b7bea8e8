"""The formula of a `multi` grader: arithmetic over the values of other graders, nothing else."""

import ast
import math
import operator
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from typing_extensions import TypeIs

from cluster.errors import EverloopError

__all__ = ["Formula", "FormulaError"]

_MAX_CHARACTERS: Final = 1000
_MAX_EXPONENT: Final = 64.0
_FUNCTIONS: Final[Mapping[str, Callable[..., float]]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "log": math.log,
}
_OF_MANY: Final = frozenset({"min", "max"})


class FormulaError(EverloopError):
    """The formula is not one, or has no value here."""


class Formula:
    """A checked formula. Raises FormulaError that says what is wrong with `text`."""

    def __init__(self, text: str, names: Collection[str]) -> None:
        self._names = names
        if len(text) > _MAX_CHARACTERS:
            raise FormulaError(
                f"The formula has {len(text)} characters; at most {_MAX_CHARACTERS} are allowed."
            )
        try:
            tree = ast.parse(text.replace("^", "**").strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise FormulaError(f"The formula {text[:80]!r} cannot be read: {error}.") from None
        self.names: set[str] = set()
        self._check(tree.body)
        self._body = tree.body

    def value(self, values: Mapping[str, float]) -> float:
        """Its value. Raises FormulaError for a division by zero and the like."""
        try:
            value = float(_value(self._body, values))
        except (ArithmeticError, ValueError) as error:
            raise FormulaError(f"The formula has no value here: {error}.") from error
        if not math.isfinite(value):
            raise FormulaError(f"The formula's value is {value}.")
        return value

    def _check(self, node: ast.expr) -> None:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, bool) or not isinstance(node.value, int | float):
                raise FormulaError(f"The formula holds {node.value!r}; numbers are allowed.")
        elif isinstance(node, ast.Name):
            if node.id not in self._names:
                raise FormulaError(
                    f"The formula names {node.id!r}, which is no grader of this one.",
                    fix=f"There are: {', '.join(sorted(self._names)) or 'none'}.",
                )
            self.names.add(node.id)
        elif isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            self._check(node.left)
            self._check(node.right)
        elif isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
            self._check(node.operand)
        elif _is_call(node):
            many = isinstance(node.func, ast.Name) and node.func.id in _OF_MANY
            if (len(node.args) < 2) if many else (len(node.args) != 1):
                raise FormulaError(
                    f"The formula holds {ast.unparse(node)[:80]!r}.",
                    fix="min and max take two values or more, the other functions one.",
                )
            for argument in node.args:
                self._check(argument)
        else:
            raise FormulaError(
                f"The formula holds {ast.unparse(node)[:80]!r}.",
                fix=f"Allowed are + - * / ^ ( ), numbers, graders and {', '.join(_FUNCTIONS)}.",
            )


def _is_call(node: ast.expr) -> TypeIs[ast.Call]:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _FUNCTIONS
        and not any(isinstance(argument, ast.Starred) for argument in node.args)
        and not node.keywords
    )


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > _MAX_EXPONENT:
        raise ValueError(f"the exponent {exponent:g} is above {_MAX_EXPONENT:g}")
    return float(math.pow(base, exponent))


_BINARY: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: _power,
}
_UNARY: Final[Mapping[type[ast.unaryop], Callable[[float], float]]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def _value(node: Any, values: Mapping[str, float]) -> float:
    if isinstance(node, ast.Constant):
        return float(node.value)  # type: ignore[arg-type]  # checked to be a number
    if isinstance(node, ast.Name):
        return float(values[node.id])
    if isinstance(node, ast.BinOp):
        return _BINARY[type(node.op)](_value(node.left, values), _value(node.right, values))
    if isinstance(node, ast.UnaryOp):
        return _UNARY[type(node.op)](_value(node.operand, values))
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)  # noqa: S101
    return _FUNCTIONS[node.func.id](*(_value(argument, values) for argument in node.args))
