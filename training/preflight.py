"""Settings to a run that can work: everything that can be known before the cluster is asked."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.models import ensure_model
from training.adapters import (
    ALL_LINEAR,
    AdapterPlan,
    adapted_modules,
    meta_model,
    precision_of,
)
from training.cursor import DataOrder, epoch_order
from training.data.curation.receipt import Receipt
from training.data.rows import Row
from training.dataset import Reader, read_run
from training.errors import PlanError
from training.examples import Example
from training.loop import LoopPlan
from training.memory import MemoryPlan, ModelShape, Need, check_room, memory_need
from training.settings import ParallelSettings, TrainingSettings
from training.tokens import ExampleTokenizer, Sample, TokenCounter, TokenCounts
from training.tokens.table import SampleTable
from training.trainer import RunPlan, WorkerPlan
from training.zero import Stage, ZeroPlan

if TYPE_CHECKING:
    from transformers import PretrainedConfig

__all__ = ["PreparedRun", "prepare_run"]


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run, ready to be started."""

    settings: TrainingSettings
    model_folder: Path
    plan: RunPlan
    workers: WorkerPlan
    train: SampleTable
    validation: SampleTable
    counts: TokenCounts
    validation_counts: TokenCounts | None
    modules: int
    """Modules that the adapter sits on."""
    need: Need
    """Memory of a worker."""
    steps: int
    receipt: Receipt | None = None
    """Of the data's curation, where it is on."""


def prepare_run(
    settings: TrainingSettings,
    cache_dir: Path,
    *,
    read: Reader | None = None,
    say: Callable[[str], None] = lambda _line: None,
    connect: Callable[[], None] = lambda: None,
    heed: Callable[[], None] = lambda: None,
) -> PreparedRun:
    """Resolve the model, read, curate and tokenise the data, and check that they go together.

    `read` gives examples in place of files' rows; `connect` joins the cluster, where the data is
    large enough to be curated there. `heed` is called between the stages, and at every row that is
    curated or tokenised in this process: what it raises ends the preparation. Raises
    ModelSourceError, DatasetError, CurationError, ExampleError or PlanError; each says what to
    change.
    """
    heed()
    folder = ensure_model(settings.model, cache_dir, progress=say)
    heed()
    adapter = _adapter(settings)
    outline = meta_model(folder)
    modules = adapted_modules(outline, adapter)
    _check_context(settings, folder)
    _check_hardware(settings)
    counter = TokenCounter(settings.model, cache_dir, settings.chat_template)
    rows = read_run(settings, counter, read=read, say=say, connect=connect, heed=heed)
    say("tokenising")
    tokenizer = ExampleTokenizer.load(folder, settings.chat_template)
    train, counts = _tokenised(settings, tokenizer, rows.train, settings.data.train, heed)
    validation: list[Sample] = []
    validation_counts = None
    if rows.validation:
        path = settings.data.validation or settings.data.train
        validation, validation_counts = _tokenised(settings, tokenizer, rows.validation, path, heed)
    elif settings.data.validation_share > 0:
        train, validation = _split(train, settings)
    table, held_out = SampleTable(train), SampleTable(validation)
    need = memory_need(ModelShape.of(outline, modules, adapter), _memory(settings, counts))
    if settings.workers.max == 0:
        check_room(need, 1, [_free(settings)], "this machine", settings.batch.row_tokens)
    loop = _loop(settings)
    most = DataOrder(len(table), loop.batch, loop.epochs, loop.seed).steps
    return PreparedRun(
        settings=settings,
        model_folder=folder,
        plan=RunPlan(
            model=settings.model,
            cache_dir=cache_dir,
            adapter=adapter,
            loop=loop,
            dpo_beta=settings.dpo_beta if settings.method == "dpo" else None,
            precision=settings.precision,
            checkpoint_activations=settings.checkpoint_activations,
            zero=_zero(settings.parallel),
            threads=settings.workers.threads,
            fingerprint=_fingerprint(settings, table),
        ),
        workers=_workers(settings),
        train=table,
        validation=held_out,
        counts=counts,
        validation_counts=validation_counts,
        modules=len(modules),
        need=need,
        steps=most if loop.max_steps is None else min(most, loop.max_steps),
        receipt=rows.receipt,
    )


def _adapter(settings: TrainingSettings) -> AdapterPlan:
    asked = settings.adapter
    targets = asked.target_modules
    return AdapterPlan(
        kind=asked.kind,
        rank=asked.rank,
        alpha=2.0 * asked.rank if asked.alpha is None else asked.alpha,
        dropout=asked.dropout,
        targets=(targets,) if isinstance(targets, str) else (targets or (ALL_LINEAR,)),
    )


def _zero(asked: ParallelSettings) -> ZeroPlan | None:
    stages: dict[str, Stage] = {"zero1": 1, "zero2": 2, "zero3": 3}
    stage = stages.get(asked.kind)
    return None if stage is None else ZeroPlan(stage, asked.offload)


def _memory(settings: TrainingSettings, counts: TokenCounts) -> MemoryPlan:
    """What the longest row that can come up holds."""
    import torch

    batch, documents = settings.batch, 2 if settings.method == "dpo" else 1
    longest = documents * min(counts.longest, batch.max_tokens)
    tokens = longest
    if batch.packing:
        tokens = max(longest, min(batch.row_tokens, longest * batch.examples))
    device = "cuda" if settings.workers.gpu else "cpu"
    half = settings.precision == "bf16"
    if settings.precision == "auto" and (device == "cpu" or torch.cuda.is_available()):
        half = precision_of("auto", device) == torch.bfloat16
    return MemoryPlan(
        row_tokens=tokens,
        loss_tokens=tokens * counts.trained_tokens // max(1, counts.tokens),
        four_bits=settings.adapter.kind == "qlora",
        bf16=half,
        checkpoint_activations=settings.checkpoint_activations,
        zero=_zero(settings.parallel),
        workers=settings.workers.max,
        gpu=settings.workers.gpu,
    )


def _free(settings: TrainingSettings) -> int:
    """Bytes that this process could still take."""
    if settings.workers.gpu:
        import torch

        return int(torch.cuda.mem_get_info()[0])
    import psutil

    return int(psutil.virtual_memory().available)


def _loop(settings: TrainingSettings) -> LoopPlan:
    optimizer, batch, validation = settings.optimizer, settings.batch, settings.validation
    return LoopPlan(
        seed=settings.seed,
        epochs=settings.epochs,
        max_steps=settings.max_steps,
        batch=batch.examples,
        row_tokens=batch.row_tokens,
        packing=batch.packing,
        learning_rate=settings.learning_rate,
        warmup_share=optimizer.warmup_share,
        schedule=optimizer.schedule,
        weight_decay=optimizer.weight_decay,
        betas=(optimizer.beta1, optimizer.beta2),
        max_gradient_norm=optimizer.max_gradient_norm,
        validate_every=validation.every_steps,
        checkpoint_every=settings.checkpoint_every,
        patience=validation.patience,
        min_improvement=validation.min_improvement,
    )


def _workers(settings: TrainingSettings) -> WorkerPlan:
    asked = settings.workers
    return WorkerPlan(
        least=asked.min,
        most=asked.max,
        cpus=asked.cpus,
        gpu=asked.gpu,
        max_failures=asked.max_failures,
        checkpoints_kept=settings.checkpoints_kept,
        storage=str(settings.output.absolute()),
        name=settings.name,
    )


def _check_context(settings: TrainingSettings, folder: Path) -> None:
    from transformers import AutoConfig

    config: PretrainedConfig = AutoConfig.from_pretrained(folder, local_files_only=True)
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and settings.batch.max_tokens > context:
        raise PlanError(
            f"batch.max_tokens is {settings.batch.max_tokens}; {settings.model} has a context of "
            f"{context} tokens.",
            fix=f"Set it to {context} or less.",
        )


def _check_hardware(settings: TrainingSettings) -> None:
    """Only what this process must have itself: a cluster's machines may differ from this one."""
    if settings.workers.max or not settings.workers.gpu:
        return
    import torch

    if not torch.cuda.is_available():
        raise PlanError(
            "workers.gpu is true and workers.max is 0, but torch finds no GPU in this process.",
            fix="Set `workers.gpu: false`, or `workers.max: 1` to train on a cluster with GPUs.",
        )


def _tokenised(
    settings: TrainingSettings,
    tokenizer: ExampleTokenizer,
    rows: Sequence[Row],
    path: Path,
    heed: Callable[[], None],
) -> tuple[list[Sample], TokenCounts]:
    def examples() -> Iterator[Example]:
        for row in rows:
            heed()
            yield row.example

    samples, counts = tokenizer.all(
        examples(), settings.batch.max_tokens, [row.line for row in rows]
    )
    if not samples:
        cut = f" within the first {settings.batch.max_tokens}" if counts.truncated else ""
        raise PlanError(
            f"None of the {counts.examples} examples in {path} has a token to train on{cut}.",
            fix=f"Raise `batch.max_tokens` (the longest example has {counts.longest})."
            if counts.truncated
            else "Give conversations with an assistant message whose weight is not 0.",
        )
    return samples, counts


def _split(samples: list[Sample], settings: TrainingSettings) -> tuple[list[Sample], list[Sample]]:
    """Train and validation samples; which is which follows from the seed."""
    kept = max(1, round(len(samples) * settings.data.validation_share))
    if kept >= len(samples):
        raise PlanError(
            f"{settings.data.train} has {len(samples)} sample(s); with validation_share "
            f"{settings.data.validation_share} none is left to train on.",
            fix="Give more examples, or a smaller share.",
        )
    order = epoch_order(len(samples), settings.seed, -1)
    held_out = set(order[:kept])
    train = [sample for i, sample in enumerate(samples) if i not in held_out]
    return train, [samples[i] for i in sorted(held_out)]


def _fingerprint(settings: TrainingSettings, train: SampleTable) -> tuple[tuple[str, str], ...]:
    """What decides the course of a run. The data's digest stands for everything that shapes it."""
    shaping = settings.model_dump(
        mode="json",
        include={
            "method": True,
            "dpo_beta": True,
            "adapter": True,
            "epochs": True,
            "max_steps": True,
            "batch": {"examples"},
            "optimizer": True,
            "validation": True,
            "seed": True,
        },
    )
    digest = sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
    return (("model", settings.model), ("settings", digest), ("data", train.digest()))
