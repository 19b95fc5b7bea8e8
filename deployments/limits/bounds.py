"""Limits as a project and a key carry them."""

from typing import Any

from deployments.errors import InvalidRequest

__all__ = ["read_limits"]


def read_limits(body: dict[str, Any]) -> dict[str, Any]:
    """`body`, where it maps names to numbers or null. Raises InvalidRequest for the first other."""
    for name, value in body.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not number:
            raise InvalidRequest(
                f"limits.{name[:64]} is {str(value)[:64]!r}; it must be a number or null.",
                param=f"limits.{name[:64]}",
                code="invalid_value",
            )
    return body
