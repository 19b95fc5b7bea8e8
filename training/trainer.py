"""The loop on Ray Train: workers of one process group, checkpoints in the run's folder.

Ray restarts the workers after a failure or with another number of them; each time they find the
last checkpoint and go on from it. A run of the same name in the same folder does so too, after its
driver, the head or the whole cluster died.
"""

import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.scratch_folder import ScratchFolder
from training.adapters import AdapterPlan, Precision, precision_of, prepare_model
from training.attention import check_packing
from training.board import BoardLink
from training.checkpoint import is_whole, read_checkpoint, write_checkpoint
from training.errors import MemoryShortError, TrainingError
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Objective, Preference, Supervised
from training.progress import Ending, News, StepDone
from training.tokens.table import SampleTable
from training.workers import Together
from training.zero import ZeroEngine, ZeroPlan

if TYPE_CHECKING:
    from ray.train.torch import TorchTrainer

__all__ = [
    "SCRATCH",
    "RunPlan",
    "WorkerPlan",
    "build_loop",
    "build_trainer",
    "checkpoint_folder",
    "last_checkpoint",
    "reported_checkpoints",
]

SCRATCH: Final = "everloop-checkpointing-"
"""What the names of the folders begin with in which a worker writes what Ray then takes."""
_OURS: Final = "everloop"
_RAYS: Final = re.compile(r"checkpoint_\d.*")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that a worker needs besides the samples. Crosses processes."""

    model: str
    """Source of the model."""
    cache_dir: Path
    adapter: AdapterPlan
    loop: LoopPlan
    dpo_beta: float | None = None
    """None trains on answers, a number on preferences."""
    precision: Precision = "auto"
    checkpoint_activations: bool = False
    zero: ZeroPlan | None = None
    """Whether DeepSpeed spreads the training state over the workers; None is plain DDP."""
    threads: int = 0
    fingerprint: tuple[tuple[str, str], ...] = ()
    """What a run that goes on from a checkpoint must agree with."""


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The workers of a run, and its place."""

    least: int
    most: int
    cpus: float
    gpu: bool
    max_failures: int
    checkpoints_kept: int
    storage: str
    """A folder or URL that every machine of the cluster reaches."""
    name: str


def build_loop(
    plan: RunPlan,
    train: SampleTable,
    validation: SampleTable,
    *,
    device: str,
    workers: Any = None,
) -> TrainingLoop:
    """Load the model and put the loop around it."""
    import torch

    from cluster.models import ensure_model

    if plan.threads:
        torch.set_num_threads(plan.threads)
    dtype = precision_of(plan.precision, device)
    model = prepare_model(
        ensure_model(plan.model, plan.cache_dir),
        plan.adapter,
        seed=plan.loop.seed,
        device=device,
        dtype=dtype,
        checkpoint_activations=plan.checkpoint_activations,
    )
    if plan.loop.packing:
        check_packing(model, model.get_input_embeddings().num_embeddings)
    objective: Objective = Supervised() if plan.dpo_beta is None else Preference(plan.dpo_beta)

    bf16 = dtype == torch.bfloat16

    def mixed() -> AbstractContextManager[object]:
        kind = device.partition(":")[0]
        mixing: AbstractContextManager[object] = torch.autocast(
            kind,
            dtype=torch.bfloat16,
            enabled=bf16 and plan.zero is None,  # DeepSpeed casts the weights instead
        )
        return mixing

    return TrainingLoop(
        model,
        objective,
        train,
        plan.loop,
        validation=validation,
        workers=workers,
        engine=None
        if plan.zero is None
        else ZeroEngine(model, plan.loop, workers, plan.zero, bf16=bf16),
        autocast=mixed,
    )


def build_trainer(
    plan: RunPlan,
    workers: WorkerPlan,
    train: SampleTable,
    validation: SampleTable,
    board: Any,
) -> "TorchTrainer":
    """The trainer, to be `fit()`. Samples travel through the object store; needs `ray.init`."""
    import ray
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    counts = workers.most if workers.least == workers.most else (workers.least, workers.most)
    return TorchTrainer(
        _train,
        train_loop_config={
            "plan": plan,
            "samples": ray.put((train, validation)),
            "board": board,
            "folder": Path(workers.storage) / workers.name,
        },
        scaling_config=ScalingConfig(
            num_workers=counts,
            use_gpu=workers.gpu,
            resources_per_worker={"CPU": workers.cpus} | ({"GPU": 1} if workers.gpu else {}),
        ),
        run_config=RunConfig(
            name=workers.name,
            storage_path=workers.storage,
            failure_config=FailureConfig(max_failures=workers.max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=workers.checkpoints_kept),
        ),
    )


def _train(config: Mapping[str, Any]) -> Ending | None:
    """One worker of a run, from its last checkpoint on; answers how it ended, None if it failed."""
    import ray
    import ray.train
    import ray.train.torch

    plan: RunPlan = config["plan"]
    board = BoardLink(config["board"], time.monotonic)
    if board.failed():
        return None
    train, validation = ray.get(config["samples"])
    device = str(ray.train.torch.get_device())
    try:
        loop = build_loop(plan, train, validation, device=device, workers=Together())
        if (last := last_checkpoint(config["folder"])) is not None:
            read_checkpoint(loop, last, dict(plan.fingerprint))
        return loop.run(_OnRay(plan, board))
    except MemoryShortError as error:  # perhaps of this worker only; the others wait for it
        board.fail(error)
        raise
    except TrainingError as error:  # of every worker, and of every further try
        board.fail(error)
        return None


def checkpoint_folder(reported: Path) -> Path:
    """Where in a checkpoint of Ray's ours lies."""
    return reported / _OURS


def reported_checkpoints(folder: Path) -> list[Path]:
    """Ours in Ray's of the run in `folder`, oldest first; the last may not be whole yet."""
    found = sorted(path for path in folder.glob("checkpoint_*") if _RAYS.fullmatch(path.name))
    return [checkpoint_folder(path) for path in found]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of the run in `folder`.

    Ray's own list of them is written a moment after the files are: a run whose driver is killed in
    between would begin anew.
    """
    return next(filter(is_whole, reversed(reported_checkpoints(folder))), None)


class _OnRay:
    """A Watcher that reports to Ray Train and posts on the board."""

    def __init__(self, plan: RunPlan, board: BoardLink) -> None:
        import ray.train

        self._fingerprint = dict(plan.fingerprint)
        self._board = board
        self._first = ray.train.get_context().get_world_rank() == 0
        self._last: StepDone | None = None

    def tell(self, news: News) -> None:
        """Post it, once for all workers."""
        if isinstance(news, StepDone):
            self._last = news
        if self._first:
            self._board.post(news)

    def checkpoint(self, loop: TrainingLoop) -> None:
        """Write it together; Ray waits for all, and keeps it when it has it whole."""
        import ray.train

        metrics: dict[str, float] = {"step": loop.state.step, "tokens": loop.state.tokens}
        if self._last is not None:
            metrics["loss"] = self._last.loss
        if loop.state.best_loss is not None:
            metrics["best_validation_loss"] = loop.state.best_loss
        with ScratchFolder(SCRATCH) as scratch:
            place = scratch.path
            write_checkpoint(loop, checkpoint_folder(place), self._fingerprint)
            written = ray.train.Checkpoint.from_directory(place) if loop.rank == 0 else None
            ray.train.report(metrics, checkpoint=written)

    def stop_wanted(self) -> bool:
        """The first worker's word counts for all: the loop adds them up."""
        return self._first and self._board.stopping()
