"""Runs of the tiny model on two real workers and on one, in processes that outlive each run.

Starting a process costs more than all runs in it, so all of them are made in one session: first
those that begin, then those that go on from what others left. `test_zero.py` compares them.
"""

import json
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from threading import BrokenBarrierError
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tests.training.tiny import Notes, document, samples
from training.adapters import AdapterPlan, Kind, prepare_model
from training.checkpoint import read_checkpoint, write_checkpoint
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Preference, Supervised
from training.packing import Row
from training.progress import News, StepDone
from training.tokens import Sample, Tokenized
from training.workers import Together
from training.zero import Offload, ZeroEngine, ZeroPlan

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

__all__ = ["DATA", "PLAN", "Made", "Run", "Stage", "hold_session"]

PLAN: Final = LoopPlan(
    batch=6,
    epochs=2,
    learning_rate=2e-3,
    row_tokens=32,
    max_gradient_norm=0.5,
    weight_decay=0.1,
    validate_every=3,
    checkpoint_every=99,
    patience=99,
)
DATA: Final = samples(13)
"""The last batch of an epoch holds one: a worker of two has none."""
HELD_OUT: Final = samples(5, seed=1)
_PATIENCE: Final = timedelta(seconds=90)
"""Of a worker with the other one."""
_ROUND_S: Final = 600
Stage: TypeAlias = Literal[0, 1, 2, 3]


@dataclass(frozen=True)
class Run:
    """A run, by what differs between them. Stage 0 is DDP."""

    name: str
    stage: Stage
    kind: Kind = "lora"
    goes_on_from: str | None = None
    cut: bool = False
    """Stop within the fifth step, on the first worker's word."""
    offload: Offload = "none"
    bf16: bool = False
    dpo: bool = False
    checkpoint_activations: bool = False
    rate: float = PLAN.learning_rate


@dataclass
class Made:
    """What a run came to, on one worker."""

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    seen: list[list[int]] = field(default_factory=list)
    """Token ids of each document that counted in a step that was taken."""
    ending: str = ""
    error: str = ""


class Recording(Supervised):
    """Remembers the documents of rows that count: each is asked for its weight, once."""

    def __init__(self) -> None:
        self.pending: list[list[int]] = []

    def weight(self, row: Row) -> float:
        """Remember."""
        parts = row.input_ids[0].split([stretch.length for stretch in row.stretches])
        for number, path in enumerate(row.layout.paths):
            last = row.labels[row.documents == number][-1]
            self.pending.append([*(int(i) for part in path for i in parts[part]), int(last)])
        return super().weight(row)


class Watching(Notes):
    """Keeps the documents of steps that were taken. Wants a stop after a row of the fifth step."""

    def __init__(
        self, objective: object, *, cut: bool, keep: Callable[[TrainingLoop], None]
    ) -> None:
        super().__init__(keep=keep)
        self.seen: list[list[int]] = []
        self._objective = objective
        self._cut = cut
        self._asked = 0

    def tell(self, news: News) -> None:
        super().tell(news)
        if isinstance(self._objective, Recording):
            if isinstance(news, StepDone):
                self.seen += self._objective.pending
            self._objective.pending = []

    def stop_wanted(self) -> bool:
        self._asked += len(self.steps) == 4
        return self._cut and self._asked > 2


def hold_session(
    folder: Path, two: Sequence[Sequence[Run]], one: Sequence[Sequence[Run]]
) -> dict[str, list[Made]]:
    """What each run came to, by its name, on each of its workers.

    `folder` holds the models `odd`, and `even` for qlora, whose kernels want even widths; it gets
    each run's last checkpoint. `two` and `one` list, round by round, the runs of two workers and of
    one: a round goes on from what any run of the one before it left.
    """
    from torch import multiprocessing

    barrier = multiprocessing.get_context("spawn").Barrier(3, timeout=_ROUND_S)
    multiprocessing.spawn(_work, args=(folder, two, one, barrier), nprocs=3)
    found: dict[str, list[Made]] = {}
    for path in sorted(folder.glob("made-*.json")):
        for name, made in json.loads(path.read_text()).items():
            found.setdefault(name, []).append(Made(**made))
    return found


def _work(
    process: int,
    folder: Path,
    two: Sequence[Sequence[Run]],
    one: Sequence[Sequence[Run]],
    barrier: "Barrier",
) -> None:
    """A process: the first two are a group, the third is one by itself."""
    import torch
    import torch.distributed as dist

    import training.zero

    alone = process == 2
    rank, size = (0, 1) if alone else (process, 2)
    os.environ["LOCAL_RANK"] = str(rank)
    place = folder / f"group-of-{size}"
    dist.init_process_group(
        "gloo", init_method=place.as_uri(), rank=rank, world_size=size, timeout=_PATIENCE
    )
    torch.set_num_threads(1)
    training.zero._SMALL = 0  # type: ignore[misc]  # so that stage 3 cuts even a tiny model
    made: dict[str, dict[str, Any]] = {}
    for runs in one if alone else two:
        for run in runs:
            made[run.name] = asdict(_made(run, folder))
        try:
            barrier.wait()
        except BrokenBarrierError:
            break
    (folder / f"made-{process}.json").write_text(json.dumps(made))
    dist.destroy_process_group()


def _made(run: Run, folder: Path) -> Made:
    objective = Preference() if run.dpo else Recording()
    watching = Watching(
        objective,
        cut=run.cut,
        keep=lambda loop: write_checkpoint(loop, folder / run.name, {}),
    )
    ending = error = ""
    try:
        loop = _loop(run, objective, folder)
        if run.goes_on_from is not None:
            read_checkpoint(loop, folder / run.goes_on_from, {})
        if loop.rank > 0:
            watching._cut = False
        ending = loop.run(watching)
    except Exception:  # noqa: BLE001 - the session goes on; the test shows it
        error = traceback.format_exc()
    return Made(
        losses=watching.losses,
        norms=[step.gradient_norm for step in watching.steps],
        validations=[item.loss for item in watching.validations],
        seen=watching.seen,
        ending=ending,
        error=error,
    )


def _loop(run: Run, objective: Supervised | Preference, folder: Path) -> TrainingLoop:
    from dataclasses import replace

    import torch

    model = prepare_model(
        folder / ("even" if run.kind == "qlora" else "odd"),
        AdapterPlan(kind=run.kind, rank=3),
        seed=0,
        dtype=torch.bfloat16 if run.bf16 else None,
        checkpoint_activations=run.checkpoint_activations,
    )
    plan, workers = replace(PLAN, learning_rate=run.rate), Together()
    engine = None
    if run.stage:
        engine = ZeroEngine(model, plan, workers, ZeroPlan(run.stage, run.offload), bf16=run.bf16)
    return TrainingLoop(
        model,
        objective,
        [_pair(seed) for seed in range(7)] if run.dpo else DATA,
        plan,
        validation=[_pair(99)] if run.dpo else HELD_OUT,
        workers=workers,
        engine=engine,
    )


def _pair(seed: int) -> Sample:
    good = document(12, seed)
    return good, Tokenized((*good.input_ids[:-3], 1, 2, 3), good.loss)
