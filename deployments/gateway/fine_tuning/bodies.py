"""What makes a fine-tuning job: OpenAI's body, and our additions to it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from deployments.gateway.bodies import Body, FileId, Metadata, Text, tree

__all__ = ["DpoMethod", "Hyperparameters", "JobCreate", "Method", "SupervisedMethod"]

Auto = Literal["auto"]
Tree = Annotated[dict[str, Any], AfterValidator(tree)]


class Hyperparameters(Body):
    """OpenAI's hyperparameters; `auto` is the default of `training`."""

    n_epochs: Annotated[int, Field(ge=1, le=100)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=4096)] | Auto = "auto"
    learning_rate_multiplier: Annotated[float, Field(ge=1e-6, le=1000)] | Auto = "auto"
    """Times the method's own learning rate."""


class DpoHyperparameters(Hyperparameters):
    """Those of DPO."""

    beta: Annotated[float, Field(gt=0, le=2)] | Auto = "auto"
    """How strongly the model is held to what it was."""


class SupervisedMethod(Body):
    """Learn the answers given."""

    hyperparameters: Hyperparameters = Field(default_factory=Hyperparameters)


class DpoMethod(Body):
    """Learn to prefer one answer to another."""

    hyperparameters: DpoHyperparameters = Field(default_factory=DpoHyperparameters)


class Method(Body):
    """How to train."""

    type: Literal["supervised", "dpo"] = "supervised"
    supervised: SupervisedMethod | None = None
    dpo: DpoMethod | None = None

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those of the type."""
        if self.type == "dpo":
            return (self.dpo or DpoMethod()).hyperparameters
        return (self.supervised or SupervisedMethod()).hyperparameters


class JobCreate(Body):
    """Create a fine-tuning job. `evaluation_file`, `alias`, `gate` and `training` are ours."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "smollm2-135m-instruct",
                    "training_file": "file-019abc",
                    "suffix": "banking",
                    "evaluation_file": "file-019abd",
                    "alias": "assistant",
                }
            ]
        }
    )
    model: Annotated[Text, Field(min_length=1, max_length=256)]
    training_file: FileId
    validation_file: FileId | None = None
    hyperparameters: Hyperparameters | None = None
    """As before OpenAI had `method`."""
    method: Method | None = None
    suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")] | None = None
    """Part of the adapter's id."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    metadata: Metadata | None = None
    integrations: list[Any] | None = None
    evaluation_file: FileId | None = None
    """Held-out examples that the gate compares on. Nothing of it is trained on."""
    alias: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")] | None = None
    """What the gate may point at the adapter, if it proves better than what answers now."""
    gate: Tree | None = None
    """Settings of the gate."""
    training: Tree = Field(default_factory=dict)
    """Settings of the run, as in the YAML of `python -m training.job`: adapter, optimizer, batch,
    validation, workers, curation of the data and more."""
