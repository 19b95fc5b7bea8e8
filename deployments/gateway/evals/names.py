"""What templates of an eval may name: checked when it is made, not item by item."""

from collections.abc import Mapping
from typing import Any

from deployments.errors import InvalidRequest
from deployments.evaluation.graders.templates import TemplateError, names_in

__all__ = ["check_names", "item_names"]


def item_names(schema: Mapping[str, Any]) -> set[str] | None:
    """The names that items have; None where the schema leaves them open."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return None
    if schema.get("additionalProperties", False) is not False or "patternProperties" in schema:
        return None
    if any(word in schema for word in ("allOf", "anyOf", "oneOf", "$ref", "if")):
        return None
    return set(properties)


def check_names(value: Any, known: set[str] | None, param: str, *, sample: bool) -> None:
    """Raise InvalidRequest where a template names what items do not have.

    `known`: as `item_names` gives it. `sample`: whether `sample` may be named.
    """
    try:
        paths = names_in(value)
    except TemplateError as error:
        raise InvalidRequest(f"{param}: {error}", param=param, code="invalid_template") from error
    for path in paths:
        if path[0] == "sample" and not sample:
            raise InvalidRequest(
                f"{param} names sample.{path[1] if len(path) > 1 else ''}, and there is no answer "
                "yet; allowed is `item`.",
                param=param,
                code="invalid_template",
            )
        if path[0] == "item" and known is not None and len(path) > 1 and path[1] not in known:
            raise InvalidRequest(
                f"{param} names item.{path[1]}, which the item_schema does not have; it has: "
                f"{', '.join(sorted(known))}. With `additionalProperties: true` in the schema any "
                "name is allowed.",
                param=param,
                code="invalid_template",
            )
