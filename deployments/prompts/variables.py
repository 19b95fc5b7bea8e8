"""Typed variables of a prompt, and the check of values against them."""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deployments.prompts.errors import VariableError

__all__ = ["NAME", "Variable", "check_values", "wrong"]

NAME: Final = r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$"
_SHOWN: Final = 60
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


class Variable(BaseModel):
    """What a variable may be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: Literal["string", "integer", "number", "boolean", "array", "object", "any"] = "string"
    """`any` is not checked."""
    description: str = Field(default="", max_length=1000)
    required: bool = True
    """Where false and without a default, an absent string is empty and all else is none."""
    default: Any = None
    """Stands where the client gives nothing; the variable is then not required."""
    enum: tuple[Any, ...] | None = Field(default=None, min_length=1, max_length=100)
    """The values that are allowed."""
    max_length: int | None = Field(default=None, ge=1)
    """Of a string, in characters; of an array, in items."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_length is not None and self.type not in {"string", "array"}:
            raise ValueError(f"max_length is for strings and arrays, not for type {self.type!r}")
        for name, values in (("enum", self.enum or ()), ("default", self._defaults())):
            for value in values:
                if said := wrong(self, value):
                    raise ValueError(f"{name} has {_shown(value)}, which {said}")
        return self

    def _defaults(self) -> tuple[Any, ...]:
        return () if self.default is None else (self.default,)

    @property
    def needed(self) -> bool:
        """Whether there must be a value."""
        return self.required and self.default is None

    @property
    def absent(self) -> Any:
        """What stands where there is no value."""
        return "" if self.default is None and self.type == "string" else self.default


def wrong(variable: Variable, value: Any) -> str | None:
    """What is wrong with `value`, such as «is not of type integer»; None where it is right."""
    kinds = _TYPES.get(variable.type)
    if kinds is not None:
        stray_bool = isinstance(value, bool) and bool not in kinds
        if stray_bool or not isinstance(value, kinds):
            return f"is not of type {variable.type}"
    if variable.enum is not None and value not in variable.enum:
        return f"is none of {', '.join(_shown(allowed) for allowed in variable.enum)}"
    if variable.max_length is not None and len(value) > variable.max_length:
        unit = "characters" if variable.type == "string" else "items"
        return f"has {len(value)} {unit}; allowed are {variable.max_length}"
    return None


def check_values(
    version: str, variables: Mapping[str, Variable], values: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all values, defaults included. Raises VariableError that names each wrong variable."""
    problems: list[tuple[str, str]] = []
    for name, variable in variables.items():
        if name not in values and variable.needed:
            problems.append((name, f"{name} missing"))
        elif name in values and (said := wrong(variable, values[name])):
            problems.append((name, f"{name} is {_shown(values[name])}, which {said}"))
    problems += [(name, f"{_name(name)} unknown") for name in values if name not in variables]
    if problems:
        raise VariableError(
            f"Prompt {version}: {'; '.join(said for _, said in problems[:8])}.",
            variable=_name(problems[0][0]),
            fix=f"Its variables are {', '.join(variables) or 'none'}.",
        )
    return {name: values.get(name, variable.absent) for name, variable in variables.items()}


def _name(name: str) -> str:
    return name if re.match(NAME, name) else repr(name[:64])


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
