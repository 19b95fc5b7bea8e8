"""What a person sets for a training run: one YAML file, one frozen tree, all mistakes at once.

name: banking
model: packaged:smollm2-135m-instruct
data: {train: train.jsonl, validation_share: 0.05}
adapter: {kind: lora, rank: 16}
optimizer: {learning_rate: 1.0e-3}
"""

from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from cluster.problems import problem_of
from cluster.sections.section import Section
from cluster.yaml_file import read_mapping
from training.data.columns import Columns
from training.data.settings import CurationSettings
from training.errors import PlanError

__all__ = [
    "AdapterSettings",
    "BatchSettings",
    "DataSettings",
    "OptimizerSettings",
    "ParallelSettings",
    "TrainingSettings",
    "ValidationSettings",
    "WorkerSettings",
    "read_settings",
]

_LEARNING_RATES: Final = {
    ("supervised", True): 2e-4,
    ("supervised", False): 2e-5,
    ("dpo", True): 5e-5,
    ("dpo", False): 1e-6,
}
"""By method and whether an adapter is trained; a tenth of an adapter's suits all weights."""


class DataSettings(Section):
    """What is trained on."""

    train: Path
    """JSON Lines in OpenAI's chat or preference form or as prompt and completion; CSV, Parquet."""
    validation: Path | None = None
    """A file of examples for the validation loss; null splits them off `train`."""
    validation_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of `train` kept for validation, where no file is given; 0 validates nothing."""
    columns: Columns | None = None
    """Which columns of a table hold what; null takes those with the usual names."""
    curation: CurationSettings | None = None
    """Stages that remove, mask and hold out rows of `train`; `{}` is all defaults, null none. It
    splits rows off for validation itself, unless `validation` is given."""
    evaluation: Path | None = None
    """What the gate will ask: curation removes rows that hold a question of it."""
    bulk_rows: int | None = Field(default=100_000, ge=1)
    """From so many rows on, a run on a cluster is curated by its workers; null never does that."""

    @model_validator(mode="after")
    def _curated(self) -> Self:
        if self.curation is not None and self.validation_share > 0:
            raise ValueError(
                "validation_share goes without curation; set curation.split.validation_share"
            )
        if self.evaluation is not None and (
            self.curation is None or self.curation.decontamination is None
        ):
            raise ValueError("evaluation needs curation, and curation.decontamination not null")
        return self

    @property
    def validated(self) -> bool:
        """Whether there will be rows to validate with."""
        if self.validation is not None or self.validation_share > 0:
            return True
        return self.curation is not None and self.curation.split.validation_share > 0


class AdapterSettings(Section):
    """Which weights are trained."""

    kind: Literal["lora", "rslora", "dora", "qlora", "full"] = "lora"
    """An adapter of that kind; or `full`, the model's own weights, for small models."""
    rank: int = Field(default=16, ge=1, le=1024)
    """Rank of the adapter's matrices."""
    alpha: float | None = Field(default=None, gt=0)
    """Scale of the adapter (over the rank; rsLoRA: over its root); null is twice the rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout before the adapter."""
    target_modules: tuple[str, ...] | str = "all-linear"
    """Names of linear modules, or `all-linear` for all but the output head."""


class BatchSettings(Section):
    """What one step and one forward pass hold."""

    examples: int = Field(default=16, ge=1)
    """Examples of one step of the optimizer, over all workers."""
    max_tokens: int = Field(default=1024, ge=8)
    """Longest example; longer ones are cut at their end, and counted."""
    row_tokens: int = Field(default=2048, ge=8)
    """Tokens of one forward pass on one worker: bounds its memory. Gradients accumulate."""
    packing: bool = True
    """Several examples in one row, without attention between them; false is one a row."""


class OptimizerSettings(Section):
    """AdamW and its learning rate."""

    learning_rate: float | None = Field(default=None, gt=0)
    """At its height; null is 2e-4 for adapters, a tenth for full, less for DPO."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """How it falls after the warm-up."""
    warmup_share: float = Field(default=0.03, ge=0, lt=1)
    """Share of all steps over which it rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Of matrices; biases and norms do not decay."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the gradient's mean."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the squared gradient's mean."""
    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Larger gradients are scaled down to it."""


class ValidationSettings(Section):
    """When the validation loss is measured, and what follows from it."""

    every_steps: int | None = Field(default=None, ge=1)
    """Steps between validations; null is once an epoch."""
    patience: int | None = Field(default=None, ge=1)
    """Validations without improvement that end the run with the best weights; null is never."""
    min_improvement: float = Field(default=0.0, ge=0)
    """A smaller fall of the loss is none."""


class WorkerSettings(Section):
    """Who trains."""

    min: int = Field(default=1, ge=0)
    """Fewest workers; 0 (for `max` too) trains in this process, without a cluster."""
    max: int = Field(default=1, ge=0)
    """Most workers; above `min` the run takes and gives back workers as the cluster has them."""
    cpus: float = Field(default=0.25, gt=0)
    """CPUs that Ray reserves for a worker. The default fits beside a service on two CPUs."""
    gpu: bool = False
    """One GPU a worker."""
    threads: int = Field(default=0, ge=0)
    """Torch threads of a worker; 0 is torch's own choice, under Ray `cpus` and at least one."""
    max_failures: int = Field(default=3, ge=-1)
    """Times that the run goes on from its last checkpoint after a worker died; -1 is always."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max or (self.min == 0) != (self.max == 0):
            raise ValueError(f"min {self.min} and max {self.max} must be in order, or both 0")
        return self


class ParallelSettings(Section):
    """Where the training state lies."""

    kind: Literal["ddp", "zero1", "zero2", "zero3"] = "ddp"
    """`ddp` has all of it on every worker. DeepSpeed's ZeRO spreads the moments (`zero1`), also the
    gradients (`zero2`), also the weights (`zero3`) over the workers. May change between runs."""
    offload: Literal["none", "cpu"] = "none"
    """`cpu` keeps what ZeRO spreads in the machines' memory, off the GPU; slower."""


class TrainingSettings(Section):
    """A training run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    """Of the run and its folder. A run of the same name and settings goes on where it stopped."""
    model: str = "packaged:smollm2-135m-instruct"
    """`packaged:NAME`, a local folder, or a hub id."""
    chat_template: Path | None = None
    """A Jinja file in place of the model's own chat template; serve the model with it too."""
    method: Literal["supervised", "dpo"] = "supervised"
    """Learn the answers given, or to prefer one answer to another."""
    dpo_beta: float = Field(default=0.1, gt=0)
    """How strongly DPO holds to the untrained model."""
    data: DataSettings
    adapter: AdapterSettings = AdapterSettings()
    epochs: int = Field(default=1, ge=1)
    """Times each example is seen."""
    max_steps: int | None = Field(default=None, ge=1)
    """Steps after which the run ends, if its epochs have not ended."""
    batch: BatchSettings = BatchSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    validation: ValidationSettings = ValidationSettings()
    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; null is once an epoch."""
    checkpoints_kept: int = Field(default=2, ge=1)
    """Latest checkpoints that are kept."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic; `auto` is bf16 where the hardware is fast at it, else fp32."""
    checkpoint_activations: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    workers: WorkerSettings = WorkerSettings()
    parallel: ParallelSettings = ParallelSettings()
    seed: int = Field(default=0, ge=0)
    """Of the order of examples, the adapter's start and dropout."""
    output: Path = Path("runs")
    """Folder of runs; on a cluster of several machines one that all of them reach."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.batch.row_tokens < self.batch.max_tokens:
            raise ValueError(
                f"batch.row_tokens {self.batch.row_tokens} is below batch.max_tokens "
                f"{self.batch.max_tokens}"
            )
        if self.method == "dpo" and self.adapter.kind == "full":
            raise ValueError(
                "method dpo needs an adapter: its reference is the model without the adapter"
            )
        kind = self.parallel.kind
        if kind == "ddp" and self.parallel.offload != "none":
            raise ValueError("parallel.offload cpu needs parallel.kind zero1, zero2 or zero3")
        if kind != "ddp" and self.workers.max == 0:
            raise ValueError(
                f"parallel.kind {kind} spreads over workers: workers.max 0 has none; set it to 1 "
                "or more, or parallel.kind to ddp"
            )
        if kind == "zero3" and self.adapter.kind == "qlora":
            raise ValueError(
                "parallel.kind zero3 cannot cut qlora's 4-bit weights: set parallel.kind to zero2, "
                "or adapter.kind to lora"
            )
        if self.validation.patience is not None and not self.data.validated:
            raise ValueError(
                "validation.patience needs data.validation or data.validation_share above 0"
            )
        return self

    @property
    def learning_rate(self) -> float:
        """The one set, else the method's."""
        if self.optimizer.learning_rate is not None:
            return self.optimizer.learning_rate
        return _LEARNING_RATES[self.method, self.adapter.kind != "full"]

    @property
    def folder(self) -> Path:
        """Where the run writes."""
        return self.output / self.name


def read_settings(path: Path) -> TrainingSettings:
    """Read a YAML file; relative paths in it are relative to the file.

    Raises PlanError that lists every problem, each with its key and value.
    """
    loaded = read_mapping(path, "The config", PlanError)
    try:
        settings = TrainingSettings.model_validate(loaded)
    except ValidationError as error:
        problems = [problem_of(item) for item in error.errors()]
        raise PlanError(
            "The config {} has {} problem{}:\n  {}".format(
                path, len(problems), "" if len(problems) == 1 else "s", "\n  ".join(problems)
            )
        ) from error
    return _beside(settings, path.parent.absolute())


def _beside(settings: TrainingSettings, folder: Path) -> TrainingSettings:
    """Relative paths made absolute."""

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else folder / path.expanduser()

    data = settings.data
    changes: dict[str, Any] = {
        "data": data.model_copy(
            update={
                name: absolute(getattr(data, name))
                for name in ("train", "validation", "evaluation")
            }
        ),
        "chat_template": absolute(settings.chat_template),
        "output": absolute(settings.output),
    }
    if settings.model.startswith("."):
        changes["model"] = str(folder / settings.model)
    return settings.model_copy(update=changes)
