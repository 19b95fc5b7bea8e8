"""Gate runs as rows: what is asked of one, checked before it is queued."""

from typing import Any

from pydantic import ValidationError

from deployments.errors import InvalidRequest

__all__ = ["gate_settings"]


def gate_settings(given: dict[str, Any] | None) -> dict[str, Any]:
    """The gate's settings, every default filled in. Raises InvalidRequest that names the field."""
    from training.gate.settings import GateSettings

    try:
        return GateSettings.model_validate(given or {}).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(
            f"gate.{path} is {first.get('input')!r}: {first['msg']}",
            param=f"gate.{path}",
            code="invalid_value",
        ) from None
