"""Which bounds hold: the settings' defaults, and what a key's or a project's record says."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from cluster.sections.limits import Bounds
from deployments.errors import InvalidRequest

__all__ = ["held_bounds", "read_limits"]


def read_limits(body: Mapping[str, Any], param: str = "limits") -> dict[str, Any]:
    """Check a `limits` object of a request; what it leaves out stays as the settings say.

    Null means «no limit», also where the settings have one. Raises InvalidRequest that names the
    field below `param`.
    """
    if unknown := sorted(set(map(str, body)) - set(Bounds.model_fields)):
        raise InvalidRequest(
            f"Unknown parameter: {param}.{unknown[0][:64]}. There are: "
            f"{', '.join(Bounds.model_fields)}.",
            param=f"{param}.{unknown[0][:64]}",
            code="unknown_parameter",
        )
    try:
        return Bounds.model_validate(dict(body), strict=True).model_dump(exclude_unset=True)
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{param}.{'.'.join(str(part) for part in first['loc'])}"
        shown = repr(first.get("input"))[:64]
        raise InvalidRequest(
            f"{name} is {shown}. {first['msg']}.", param=name, code="invalid_value"
        ) from error


def held_bounds(defaults: Bounds, said: Mapping[str, Any]) -> Bounds:
    """`defaults`, with what a record says in their place.

    A record that this version cannot read leaves the defaults: its row was checked when it was
    written, so only a newer version can have written such a one.
    """
    known = {name: value for name, value in said.items() if name in Bounds.model_fields}
    return Bounds.model_validate({**defaults.model_dump(), **known})
