"""From a request for a fine-tuning job to the settings of its run, refused where it cannot work."""

from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from cluster.adapters import ADAPTER_PREFIX, SERVED_KINDS
from cluster.settings import ModelSettings
from deployments.errors import InvalidRequest
from deployments.gateway.fine_tuning.bodies import DpoHyperparameters, JobCreate, Method
from deployments.gateway.fine_tuning.refusals import refusal

if TYPE_CHECKING:
    from training.settings import TrainingSettings

__all__ = ["TRAINING_FILE", "VALIDATION_FILE", "planned_method", "planned_run"]

TRAINING_FILE: Final = "training"
VALIDATION_FILE: Final = "validation"
EVALUATION_FILE: Final = "evaluation"
"""Stand in the settings for files that the run fetches."""

_FILES: Final = {
    "train": "training_file",
    "validation": "validation_file",
    "evaluation": "evaluation_file",
}
_DECONTAMINATION_ONLY: Final[dict[str, Any]] = {
    "exact_duplicates": False,
    "near_duplicates": {"remove": False},
    "split": {"validation_share": 0},
}
"""What curation does to a job that the gate follows, unless the job says otherwise."""

_SET_BY_THE_JOB: Final = frozenset({"name", "model", "method", "output", "seed"})


def planned_method(body: JobCreate) -> Method:
    """The method, also where it is given as OpenAI's older `hyperparameters`."""
    if body.method is not None and body.hyperparameters is not None:
        raise InvalidRequest(
            "hyperparameters stands inside method; give one of the two.", param="hyperparameters"
        )
    if body.hyperparameters is not None:
        given = {"hyperparameters": body.hyperparameters.model_dump()}
        return Method.model_validate({"type": "supervised", "supervised": given})
    return body.method or Method()


def planned_run(body: JobCreate, job_id: str, model: ModelSettings) -> "TrainingSettings":
    """The settings of the run. Raises InvalidRequest that names the field."""
    from training.settings import TrainingSettings

    if body.integrations:
        raise InvalidRequest("integrations are not offered here; give none.", param="integrations")
    method = planned_method(body)
    asked = dict(body.training)
    for name in sorted(_SET_BY_THE_JOB & asked.keys()):
        raise InvalidRequest(f"training.{name} is set by the job itself.", param=f"training.{name}")
    data = asked.get("data") or {}
    if not isinstance(data, dict):
        raise InvalidRequest("training.data must be an object.", param="training.data")
    for name, field in _FILES.items():
        if name in data:
            raise InvalidRequest(
                f"training.data.{name} is a path; a job takes {field}.",
                param=f"training.data.{name}",
            )
    if body.evaluation_file is not None:
        data = {"curation": _DECONTAMINATION_ONLY, **data}
    tree: dict[str, Any] = {
        **asked,
        "name": job_id,
        "model": model.source,
        "method": method.type,
        "data": {
            **data,
            "train": TRAINING_FILE,
            **({"validation": VALIDATION_FILE} if body.validation_file else {}),
            **({"evaluation": EVALUATION_FILE} if _decontaminated(body, data) else {}),
        },
    }
    if body.seed is not None:
        tree["seed"] = body.seed
    try:
        settings = TrainingSettings.model_validate(_with(tree, method))
        multiplier = method.hyperparameters.learning_rate_multiplier
        if multiplier != "auto":
            rate = settings.learning_rate * multiplier
            tree["optimizer"] = {**tree.get("optimizer", {}), "learning_rate": rate}
            settings = TrainingSettings.model_validate(_with(tree, method))
    except ValidationError as error:
        raise refusal(error, "training") from None
    _check_served(body, settings, model)
    return settings


def _decontaminated(body: JobCreate, data: dict[str, Any]) -> bool:
    curation = data.get("curation")
    if body.evaluation_file is None or not isinstance(curation, dict):
        return False
    return curation.get("decontamination", {}) is not None


def _with(tree: dict[str, Any], method: Method) -> dict[str, Any]:
    """`tree` with the hyperparameters that are given."""
    given = method.hyperparameters
    out = dict(tree)
    if given.n_epochs != "auto":
        out["epochs"] = given.n_epochs
    if given.batch_size != "auto":
        out["batch"] = {**out.get("batch", {}), "examples": given.batch_size}
    if isinstance(given, DpoHyperparameters) and given.beta != "auto":
        out["dpo_beta"] = given.beta
    return out


def _check_served(body: JobCreate, settings: "TrainingSettings", model: ModelSettings) -> None:
    """What the engine could not serve is known before it is trained."""
    if body.model.startswith(ADAPTER_PREFIX):
        raise InvalidRequest(
            "model is an adapter; a job begins from a served model. Train on all the data anew.",
            param="model",
            code="invalid_value",
        )
    kind = settings.adapter.kind
    if kind not in SERVED_KINDS:
        if body.alias is not None:
            raise InvalidRequest(
                f"training.adapter.kind is {kind}, whose weights vLLM does not serve beside its "
                f"base; allowed with an alias: {', '.join(SERVED_KINDS)}.",
                param="training.adapter.kind",
                code="invalid_value",
            )
    elif not model.max_adapters:
        raise InvalidRequest(
            f"The model {model.id} is served without adapters: its max_adapters is 0.",
            param="model",
            code="invalid_value",
        )
    elif settings.adapter.rank > model.max_adapter_rank:
        raise InvalidRequest(
            f"training.adapter.rank is {settings.adapter.rank}; {model.id} is served with adapters "
            f"of rank {model.max_adapter_rank} at most (models.max_adapter_rank).",
            param="training.adapter.rank",
            code="invalid_value",
        )
    if (body.alias is None) != (body.evaluation_file is None):
        missing = "evaluation_file" if body.alias else "alias"
        raise InvalidRequest(
            f"{missing} is required: the gate compares what the alias answers by with the adapter, "
            "on the evaluation file.",
            param=missing,
            code="missing_parameter",
        )
    if body.gate is not None and body.alias is None:
        raise InvalidRequest("gate needs alias and evaluation_file.", param="gate")
