"""On which line of a YAML text a value stands, and what a pydantic error says there."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import yaml
from pydantic import BaseModel

from deployments.evaluation.suites.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["Location", "line_of", "problem_of"]

Location = Sequence[str | int]
"""Keys and positions from the top, such as `("graders", 0, "name")`."""


def line_of(text: str, location: Location) -> int | None:
    """The line, from 1, of what `location` names, or of the nearest that is there above it."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        return None
    line = node.start_mark.line + 1 if location else None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                break
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                break
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def problem_of(item: "ErrorDetails", text: str, root: type[BaseModel]) -> Problem:
    """Say field, value and what is allowed, with the line."""
    location = item["loc"]
    key = ".".join(str(part) for part in location)
    if item["type"] == "extra_forbidden":
        allowed = ", ".join(_model_at(root, location[:-1]).model_fields)
        said = f"{key} is no field; allowed: {allowed}"
    elif item["type"] == "missing":
        said = f"{key} is missing"
    else:
        message = item["msg"].removeprefix("Value error, ")
        value = item["input"]
        shown = "" if isinstance(value, dict | BaseModel) else f" = {_short(value)}"
        said = f"{key}{shown}: {message}" if key else message
    return Problem(line_of(text, location), said)


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:79]}…"


def _model_at(root: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model whose field the location names; positions and keys of mappings are passed over."""
    model = root
    for part in location:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _inner_model(field.annotation) or model
    return model


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_inner_model, get_args(annotation))), None)
