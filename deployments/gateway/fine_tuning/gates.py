"""Gate runs as rows: what is asked of one, checked before it is queued."""

from typing import Any

from pydantic import ValidationError

from deployments.gateway.fine_tuning.refusals import refusal

__all__ = ["gate_settings"]


def gate_settings(given: dict[str, Any] | None, within: str = "gate") -> dict[str, Any]:
    """The gate's settings, every default filled in. Raises InvalidRequest that names the field.

    `within` is the field that they stand in.
    """
    from training.gate.settings import GateSettings

    try:
        return GateSettings.model_validate(given or {}).model_dump(mode="json")
    except ValidationError as error:
        raise refusal(error, within) from None
