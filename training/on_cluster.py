"""A run on a Ray cluster, seen from the process that started it."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.board import Board
from training.errors import TrainingError, WorkersLostError
from training.memory import check_room
from training.preflight import PreparedRun
from training.progress import News, Outcome
from training.trainer import build_trainer, checkpoint_folder

if TYPE_CHECKING:
    from ray.train import Result
    from ray.train.torch import TorchTrainer

__all__ = ["shortage", "train_on_cluster"]

_LOOK_S: Final = 0.25


def train_on_cluster(
    run: PreparedRun, hear: Callable[[News], None], stopping: Callable[[], bool]
) -> Outcome:
    """Train on the cluster that this process has joined, from the run's last checkpoint on.

    Calls `hear` and `stopping` in this thread. Raises what the loop raised on a worker, and
    WorkersLostError when workers died more often than the run allows; PlanError when no machine
    has the memory that a worker needs.
    """
    import ray

    _check_memory(run)
    board = ray.remote(num_cpus=0)(Board).remote()
    trainer = build_trainer(run.plan, run.workers, run.train, run.validation, board)
    fitting = _Fitting(trainer)
    fitting.start()
    asked = False
    while not fitting.ended.wait(_LOOK_S):
        if not asked and stopping():
            asked = True
            board.ask_to_stop.remote()
        _pass_on(board, hear)
    _pass_on(board, hear)
    failure: TrainingError | None = ray.get(board.failure.remote())
    ray.kill(board)
    if failure is not None:
        raise failure
    result = fitting.result
    if result is None:
        raise _lost(fitting.error, run)
    if result.checkpoint is None or result.return_value is None:
        raise _lost(None, run)
    return Outcome(result.return_value, checkpoint_folder(Path(result.checkpoint.path)))


def _check_memory(run: PreparedRun) -> None:
    """Raise PlanError if the machines cannot hold the fewest workers. Says nothing about GPUs."""
    import ray

    if run.workers.gpu:
        return
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    rooms = [int(resources["memory"]) for resources in alive if "memory" in resources]
    if rooms:
        where = "the largest machine of the cluster"
        check_room(run.need, run.workers.least, rooms, where, run.plan.loop.row_tokens)


def shortage(run: PreparedRun) -> str | None:
    """Say what the cluster lacks for the run to begin; None where it has room now.

    Ray waits for it without a word: a cluster that grows by itself may get it, another may not.
    """
    import ray

    workers = run.workers
    asked = {"CPU": workers.cpus} | ({"GPU": 1.0} if workers.gpu else {})
    free, whole = ray.available_resources(), ray.cluster_resources()
    for kind, each in asked.items():
        needed = workers.least * each
        if free.get(kind, 0.0) < needed:
            return (
                f"waiting: the run asks for {needed:g} {kind} ({workers.least} x {each:g}), and "
                f"{free.get(kind, 0.0):g} of {whole.get(kind, 0.0):g} are free. Lower "
                "workers.cpus or workers.min, stop something, or add a node."
            )
    return None


def _pass_on(board: Any, hear: Callable[[News], None]) -> None:
    import ray

    for news in ray.get(board.take.remote()):
        hear(news)


class _Fitting(threading.Thread):
    """`fit()` in a thread: in the main one it would take Ctrl-C for itself and drop the run."""

    def __init__(self, trainer: "TorchTrainer") -> None:
        super().__init__(name="ray-train", daemon=True)
        self.ended = threading.Event()
        self.result: Result | None = None
        self.error: BaseException | None = None
        self._trainer = trainer

    def run(self) -> None:
        """Until the run ends, however it ends."""
        try:
            self.result = self._trainer.fit()
        except Exception as error:  # noqa: BLE001 - the waiting thread raises what it means
            self.error = error
        finally:
            self.ended.set()


def _lost(error: BaseException | None, run: PreparedRun) -> TrainingError:
    """What a failed fit means. A worker's own TrainingError goes through unchanged."""
    failures: dict[int, Any] = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "_base_exc", failure)
        if isinstance(cause, TrainingError):
            return cause
    lines = [line for line in str(error or "no result").splitlines() if line.strip()]
    return WorkersLostError(
        f"The run {run.settings.name} ended on its workers: {lines[-1].strip()[:300]}",
        fix="The log above and `ray logs` have the whole of it. Start it again to go on from its "
        "last checkpoint; `workers.max_failures` says how often that happens by itself.",
    )
