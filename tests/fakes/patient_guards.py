"""Guards with time to spare: on a busy machine the usual budgets of milliseconds may run out."""

from collections.abc import Mapping
from typing import Any, Final

from cluster.sections.guards import GuardPolicy, GuardsSettings

__all__ = ["patient_guards"]

_BUDGET_MS: Final = 20_000.0


def patient_guards(given: Mapping[str, Any]) -> GuardsSettings:
    """The settings `given`, for the guards of all projects, with a budget where they name none."""
    projects = {name: _patient(policy) for name, policy in given.get("projects", {}).items()}
    return GuardsSettings.model_validate({**_patient(given), "projects": projects})


def _patient(policy: Mapping[str, Any]) -> dict[str, Any]:
    guards = {
        name: {"budget_ms": _BUDGET_MS, **policy.get(name, {})} for name in GuardPolicy.model_fields
    }
    return {**policy, **guards}
