"""The training loop: read `TrainingLoop.run`, then `_step`.

A step draws the next samples of the epoch's order, takes this worker's share, packs it into rows,
and runs each row forward and back, its loss divided by what all rows of all workers weigh. The
engine (`training.engine`) adds the gradients up, clips, and moves the weights. Everything that
decides what happens next is in `LoopState`, which a checkpoint holds whole and which does not know
how many workers there are.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

from training.attention import shares_prefixes
from training.cursor import DataCursor, DataOrder, shares
from training.engine import Engine, PlainEngine
from training.errors import DivergedError, MemoryShortError
from training.objectives import Objective, RowLoss
from training.packing import Row, pack, row_of
from training.progress import Ending, News, StepDone, Validated
from training.schedule import Schedule, rate_factor
from training.tokens.tokenized import Sample
from training.workers import Alone, Workers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["LoopPlan", "LoopState", "TrainingLoop", "Watcher"]

_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")


@dataclass(frozen=True, slots=True)
class LoopPlan:
    """How to train. See `training.settings` for what each means to a person."""

    seed: int = 0
    epochs: int = 1
    max_steps: int | None = None
    batch: int = 16
    row_tokens: int = 2048
    packing: bool = True
    learning_rate: float = 2e-4
    warmup_share: float = 0.03
    schedule: Schedule = "linear"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    max_gradient_norm: float = 1.0
    validate_every: int | None = None
    """Steps; None validates at the end of each epoch."""
    checkpoint_every: int | None = None
    """Steps; None writes one at the end of each epoch."""
    patience: int | None = None
    """Validations without improvement that end the run; None lets it go on."""
    min_improvement: float = 0.0


@dataclass(frozen=True, slots=True)
class LoopState:
    """Where a run stands between two steps."""

    step: int = 0
    cursor: DataCursor = field(default_factory=DataCursor)
    tokens: int = 0
    """Real tokens trained on so far."""
    best_loss: float | None = None
    best_step: int = 0
    unimproved: int = 0
    """Validations since the best one."""


class Watcher(Protocol):
    """Who is told. Every worker has one; only the first worker's need do anything with news."""

    def tell(self, news: News) -> None:
        """Something happened."""
        ...

    def checkpoint(self, loop: "TrainingLoop") -> None:
        """Keep the loop's state. Called by all workers, between the same two steps."""
        ...

    def stop_wanted(self) -> bool:
        """Whether to end soon, with a checkpoint. Asked between rows; must be quick."""
        ...


class TrainingLoop:
    """One worker's side of a run. All workers make the same calls."""

    def __init__(
        self,
        model: "PreTrainedModel",
        objective: Objective,
        samples: Sequence[Sample],
        plan: LoopPlan,
        *,
        validation: Sequence[Sample] = (),
        workers: Workers | None = None,
        engine: Engine | None = None,
        autocast: Callable[[], AbstractContextManager[object]] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = model
        self.state = LoopState()
        self.plan = plan
        self.best: dict[str, torch.Tensor] | None = None
        """Trained weights at the best validation, on the CPU; kept for early stopping only."""
        self._objective = objective
        self._samples = samples
        self._validation = validation
        self._workers: Workers = workers or Alone()
        self._autocast = autocast or _as_it_is
        self._clock = clock
        self._share = plan.packing and shares_prefixes(model)
        self._order = DataOrder(len(samples), plan.batch, plan.epochs, plan.seed)
        self.engine: Engine = engine or PlainEngine(model, plan, self._workers)

    @property
    def steps(self) -> int:
        """Of the whole run, if nothing stops it."""
        most = self._order.steps
        return most if self.plan.max_steps is None else min(most, self.plan.max_steps)

    @property
    def rank(self) -> int:
        """Of this worker; the first writes checkpoints."""
        return self._workers.rank

    @property
    def device(self) -> "torch.device":
        """Where rows go."""
        return next(iter(self.engine.trained.values())).device

    def run(self, watcher: Watcher) -> Ending:
        """Train to the end, from `state` on. A checkpoint stands at the end, however it ends.

        Raises DivergedError and MemoryShortError; the state is then that of the last whole step.
        """
        if self._exhausted():
            return "early_stopping"
        try:
            while self.state.step < self.steps:
                news = self._step(watcher)
                if news is None:
                    watcher.checkpoint(self)
                    return "stopped"
                watcher.tell(news)
                if self._validation and self._due(self.plan.validate_every):
                    watcher.tell(self._validate())
                    if self._exhausted():
                        watcher.checkpoint(self)
                        return "early_stopping"
                if self.state.step == self.steps or self._due(self.plan.checkpoint_every):
                    watcher.checkpoint(self)
        except (RuntimeError, MemoryError) as error:
            if (short := _memory_short(error, self.plan)) is not None:
                raise short from error
            raise
        return "finished"

    def _step(self, watcher: Watcher) -> StepDone | None:
        """One step; None when a stop was asked for, and then nothing has changed."""
        import torch

        started = self._clock()
        drawn, after = self._order.take(self.state.cursor)
        # What dropout draws follows from the step, so a resumed run draws the same.
        torch.manual_seed(_derived(self.plan.seed, self.state.step, self._workers.rank))
        samples = [self._samples[i] for i in drawn]
        rows = self._rows(samples)
        (weight,) = self._summed([sum(self._objective.weight(row) for row in rows)])
        total = right = judged = tokens = 0.0
        stop = watcher.stop_wanted()
        for row, counts in self.engine.passes(rows, self._spare(samples)):
            if stop := self.engine.agreed(stop or watcher.stop_wanted()):
                break
            loss = self._loss(row)
            self.engine.backward(loss.total * (counts / weight))
            total += counts * float(loss.total.detach())
            right += counts * loss.right
            judged += counts * loss.judged
            tokens += counts * row.tokens
        total, right, judged, tokens, stopping = self._summed(
            [total, right, judged, tokens, float(stop)]
        )
        if stopping:
            self.engine.forget()
            return None
        rate = self._rate()
        norm = self.engine.step(rate)
        if not (math.isfinite(total) and math.isfinite(norm)):
            raise _diverged(self.state.step + 1, total / weight, norm, rate, self.plan)
        self.state = replace(
            self.state,
            step=self.state.step + 1,
            cursor=after,
            tokens=self.state.tokens + int(tokens),
        )
        return StepDone(
            step=self.state.step,
            steps=self.steps,
            epoch=after.epoch + after.drawn / len(self._samples),
            loss=total / weight,
            accuracy=right / judged,
            learning_rate=rate,
            gradient_norm=norm,
            tokens=int(tokens),
            trained_tokens=int(judged),
            seconds=self._clock() - started,
            workers=self._workers.size,
        )

    def _rows(self, samples: Sequence[Sample]) -> list[Row]:
        """Rows of a batch that fall to this worker."""
        lengths = [sum(map(len, sample)) for sample in samples]
        mine = shares(lengths, self._workers.size)[self._workers.rank]
        if self.plan.packing:
            packed = pack([lengths[i] for i in mine], self.plan.row_tokens)
            groups = [[mine[i] for i in group] for group in packed]
        else:
            groups = [[i] for i in mine]
        return [self._row([samples[i] for i in group]) for group in groups]

    def _row(self, samples: Sequence[Sample]) -> Row:
        return row_of(samples, self.device, share=self._share)

    def _spare(self, samples: Sequence[Sample]) -> Callable[[], Row]:
        """The cheapest row of a batch, for a worker that must pass along without one."""
        return lambda: self._row([min(samples, key=lambda s: sum(map(len, s)))])

    def _loss(self, row: Row) -> RowLoss:
        with self._autocast():
            return self._objective(self.engine.model, row)

    def _summed(self, numbers: list[float]) -> list[float]:
        """Numbers added up over the workers."""
        import torch

        together = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        self._workers.add_up([together])
        return [float(number) for number in together.tolist()]

    def _rate(self) -> float:
        warmup = math.ceil(self.plan.warmup_share * self.steps)
        factor = rate_factor(self.state.step, self.steps, warmup, self.plan.schedule)
        return self.plan.learning_rate * factor

    def _validate(self) -> Validated:
        import torch

        started = self._clock()
        self.model.eval()
        total = weight = right = judged = 0.0
        with torch.no_grad():
            rows, spare = self._rows(self._validation), self._spare(self._validation)
            for row, counts in self.engine.passes(rows, spare):
                loss = self._loss(row)
                total += counts * float(loss.total)
                weight += counts * self._objective.weight(row)
                right += counts * loss.right
                judged += counts * loss.judged
        self.model.train()
        total, weight, right, judged = self._summed([total, weight, right, judged])
        loss_now = total / weight
        best = self._note(loss_now)
        seconds = self._clock() - started
        return Validated(self.state.step, loss_now, right / judged, best, seconds)

    def _note(self, loss: float) -> bool:
        """Whether `loss` is the best so far; counts towards early stopping."""
        lowest = self.state.best_loss
        if lowest is not None and not loss < lowest - self.plan.min_improvement:
            self.state = replace(self.state, unimproved=self.state.unimproved + 1)
            return False
        self.state = replace(self.state, best_loss=loss, best_step=self.state.step, unimproved=0)
        if self.plan.patience is not None:
            # A copy also on the CPU, where `.cpu()` would be the very weights that move on.
            self.best = {n: w.to("cpu", copy=True) for n, w in self.engine.weights().items()}
        return True

    def _exhausted(self) -> bool:
        return self.plan.patience is not None and self.state.unimproved >= self.plan.patience

    def _due(self, every: int | None) -> bool:
        """Whether step `state.step` ends a stretch of `every` steps, or an epoch."""
        if every is not None:
            return self.state.step % every == 0 or self.state.step == self.steps
        return self.state.cursor.drawn == 0 or self.state.step == self.steps


def _as_it_is() -> AbstractContextManager[object]:
    from contextlib import nullcontext

    return nullcontext()


def _derived(seed: int, step: int, rank: int) -> int:
    return int.from_bytes(blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=7).digest())


def _diverged(step: int, loss: float, norm: float, rate: float, plan: LoopPlan) -> DivergedError:
    return DivergedError(
        f"In step {step} the loss is {loss} and the gradient's norm {norm}, at a learning rate of "
        f"{rate:.3g}.",
        fix=f"Lower `optimizer.learning_rate` (now {plan.learning_rate:.3g}), or raise "
        f"`optimizer.warmup_share` (now {plan.warmup_share}); with bf16 try `precision: fp32`.",
    )


def _memory_short(error: RuntimeError | MemoryError, plan: LoopPlan) -> MemoryShortError | None:
    """The error as one that says what to change, where it is about memory."""
    text = str(error)
    if not (isinstance(error, MemoryError) or any(s in text.lower() for s in _OUT_OF_MEMORY)):
        return None
    return MemoryShortError(
        f"A step does not fit into memory: {text.splitlines()[0][:200] if text else 'no memory'}",
        fix=f"Lower `batch.row_tokens` (now {plan.row_tokens}) or `batch.max_tokens`, set "
        "`checkpoint_activations: true`, or choose `adapter.kind: qlora`.",
    )
