"""Tokens per second in training: Everloop's loop, a bare loop, and TRL's SFTTrainer as it comes.

    python -m tests.benchmarks.training_rate --data ../shared/data/banking77 [--rounds 3]
        [--steps 12] [--batch 8] [--threads 2]
        [--sides everloop,everloop-bf16,bare,trl,trl-fp32,ray]

All sides train the same adapter (LoRA, rank 16, all linear layers) of the packaged model on the
same questions, answers and batches, loss on the answer only, at one learning rate; each run is a
process of its own, and the sides take turns. `bare` is twenty lines of PyTorch with padded batches
and logits where the loss is; `trl` has SFTTrainer's defaults in all else, `trl-fp32` the same but
for its bf16, which a CPU may be slow at; `everloop-bf16` has `precision: bf16`, which `everloop`
takes by itself only on a CPU with AMX; `ray` is `everloop` with one worker of Ray Train.

Counted are real tokens, not padding, from the second step on. Quoted are medians over the rounds,
and of the rounds' ratios. Bars: `everloop` at least 2.0 times `trl`, at a validation loss at most
2 % above; `ray` at most 5 % below `everloop`.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.models import ensure_model
from cluster.settings import load_settings
from tests.benchmarks.reporting import median, report
from training.adapters import AdapterPlan, prepare_model
from training.examples import ChatExample
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Supervised
from training.packing import row_of
from training.progress import News, StepDone
from training.tokens import ExampleTokenizer, Sample

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MODEL: Final = "packaged:smollm2-135m-instruct"
SYSTEM: Final = "Answer with the intent of the customer's message."
RATE: Final = 5e-4
VALIDATION: Final = 48
ADAPTER: Final = AdapterPlan(kind="lora", rank=16, alpha=32.0)


def main() -> None:
    """Run the rounds, print the table, write the JSON."""
    options = _options()
    if options.side:
        print(json.dumps(_measure(options)))
        return
    sides = options.sides.split(",")
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(options.rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        rounds.append({side: _in_process_of_its_own(side) for side in order})
        print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr, flush=True)
    base = "trl" if "trl" in sides else sides[0]
    rows = [
        (
            side,
            median(one[side]["tokens_per_s"] for one in rounds),
            median(one[side]["tokens_per_s"] / one[base]["tokens_per_s"] for one in rounds),
            median(one[side]["tokens_per_cpu_s"] for one in rounds),
            median(one[side]["validation_loss"] for one in rounds),
            median(one[side]["peak_mib"] for one in rounds),
        )
        for side in sides
    ]
    columns = ("side", "tokens/s", f"times {base}", "tokens/CPU s", "validation loss", "peak MiB")
    title = f"Training, {options.steps} steps of {options.batch}, {options.threads} threads"
    report("training_rate", title, columns, rows, rounds=rounds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BANKING77's train.csv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", default="everloop,bare,trl,ray")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_process_of_its_own(side: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.training_rate", *sys.argv[1:]]
    done = subprocess.run([*command, "--side", side], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _measure(options: argparse.Namespace) -> dict[str, float]:
    """One side: its rate, and the loss of what it trained on questions it did not see."""
    import resource

    import torch

    torch.set_num_threads(options.threads)
    folder = ensure_model(MODEL, load_settings().cache_dir)
    wanted = options.steps * options.batch
    examples = banking_examples(options.data / "train.csv", wanted + VALIDATION)
    train, held_out = examples[:wanted], examples[wanted:]
    meter, model = SIDES[options.side](folder, train, options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    samples, _ = ExampleTokenizer.load(folder).all(held_out)
    return {
        "tokens_per_s": meter.tokens_per_s,
        "tokens_per_cpu_s": meter.tokens_per_cpu_s,
        "validation_loss": _loss(model, samples) if model is not None else float("nan"),
        "peak_mib": peak,
    }


def banking_examples(path: Path, count: int) -> list[ChatExample]:
    """`count` questions with their label in words, drawn with a fixed seed."""
    with path.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    random.Random(0).shuffle(rows)
    return [
        ChatExample(
            (
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": row["text"]},
                {"role": "assistant", "content": row["category"].replace("_", " ")},
            ),
            (0.0, 0.0, 1.0),
        )
        for row in rows[:count]
    ]


def _loss(model: "PreTrainedModel", samples: Sequence[Sample]) -> float:
    """Mean over the answers' tokens, by transformers' own forward pass, one at a time."""
    import torch

    model.eval()
    total = count = 0.0
    with torch.no_grad():
        for sample in samples:
            row = row_of([sample])
            logits = model(input_ids=row.input_ids, use_cache=False).logits[0, row.predicting]
            total += float(torch.nn.functional.cross_entropy(logits, row.labels, reduction="sum"))
            count += len(row.labels)
    return total / count


def _plan(options: argparse.Namespace) -> LoopPlan:
    return LoopPlan(
        batch=options.batch, row_tokens=4096, learning_rate=RATE, warmup_share=0.0, seed=1
    )


class Meter:
    """Tokens over the time of all steps but the first. As a Watcher it marks each step itself."""

    def __init__(self) -> None:
        self._tokens = 0
        self._steps = 0
        self._began = (0.0, 0.0)
        self._ended = (0.0, 0.0)

    def step(self, tokens: int) -> None:
        """A step of so many real tokens has ended."""
        self._ended = (time.perf_counter(), time.process_time())
        self._steps += 1
        if self._steps == 1:
            self._began = self._ended
        else:
            self._tokens += tokens

    @property
    def tokens_per_s(self) -> float:
        """By the clock on the wall."""
        return self._tokens / (self._ended[0] - self._began[0])

    @property
    def tokens_per_cpu_s(self) -> float:
        """By the seconds of all cores: hardly moved by what else runs on the machine."""
        return self._tokens / (self._ended[1] - self._began[1])

    def tell(self, news: News) -> None:
        """Mark a step."""
        if isinstance(news, StepDone):
            self.step(news.tokens)

    def checkpoint(self, loop: TrainingLoop) -> None:
        """None is written: the other sides write none."""

    def stop_wanted(self) -> bool:
        """Never."""
        return False


class _WorkersMeter(Meter):
    """Believes the worker's own clock: the driver hears of a step later than it ended."""

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0

    def __call__(self, news: News) -> None:
        """Mark a step."""
        if isinstance(news, StepDone) and news.step > 1:
            self._tokens += news.tokens
            self._seconds += news.seconds

    @property
    def tokens_per_s(self) -> float:
        """By the clock on the wall."""
        return self._tokens / self._seconds

    @property
    def tokens_per_cpu_s(self) -> float:
        """Not known here."""
        return float("nan")


def _everloop(
    folder: Path, train: list[ChatExample], options: argparse.Namespace
) -> "tuple[Meter, PreTrainedModel]":
    import torch

    half = options.side == "everloop-bf16"
    samples, _ = ExampleTokenizer.load(folder).all(train)
    model = prepare_model(folder, ADAPTER, seed=1, dtype=torch.bfloat16 if half else torch.float32)
    meter = Meter()
    TrainingLoop(
        model,
        Supervised(),
        samples,
        _plan(options),
        autocast=lambda: torch.autocast("cpu", dtype=torch.bfloat16, enabled=half),
    ).run(meter)
    model.set_attn_implementation("sdpa")
    return meter, model.float()


def _ray(folder: Path, train: list[ChatExample], options: argparse.Namespace) -> tuple[Meter, None]:
    import ray

    from training.on_cluster import train_on_cluster
    from training.preflight import prepare_run
    from training.settings import TrainingSettings

    os.environ["RAY_AUTH_MODE"] = "disabled"
    with tempfile.TemporaryDirectory(prefix="everloop-rate-") as place:
        settings = TrainingSettings.model_validate(
            {
                "name": "rate",
                "model": MODEL,
                "data": {"train": "unused"},
                "batch": {"examples": options.batch, "row_tokens": 4096},
                "optimizer": {"learning_rate": RATE, "warmup_share": 0.0},
                "workers": {"threads": options.threads},
                "output": place,
                "seed": 1,
            }
        )
        run = prepare_run(settings, load_settings().cache_dir, read=lambda _path, _columns: train)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        meter = _WorkersMeter()
        train_on_cluster(run, meter, lambda: False)
        ray.shutdown()
    return meter, None


def _bare(
    folder: Path, train: list[ChatExample], options: argparse.Namespace
) -> "tuple[Meter, PreTrainedModel]":
    import torch

    samples, _ = ExampleTokenizer.load(folder).all(train)
    model = prepare_model(folder, replace(ADAPTER), seed=1)
    model.set_attn_implementation("sdpa")
    inner = model.get_base_model()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=0.0)
    steps = len(samples) // options.batch
    meter = Meter()
    for step in range(steps):
        batch = [one for (one,) in samples[step * options.batch : (step + 1) * options.batch]]
        longest = max(map(len, batch))
        ids = torch.tensor([[*d.input_ids, *[2] * (longest - len(d))] for d in batch])
        loss = torch.tensor([[*d.loss, *[0.0] * (longest - len(d))] for d in batch])
        mask = torch.tensor([[1] * len(d) + [0] * (longest - len(d)) for d in batch])
        hidden = inner.model(input_ids=ids, attention_mask=mask, use_cache=False)
        carries = loss[:, 1:] > 0
        logits = inner.lm_head(hidden.last_hidden_state[:, :-1][carries])
        torch.nn.functional.cross_entropy(logits, ids[:, 1:][carries]).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        optimizer.step()
        optimizer.zero_grad()
        meter.step(sum(map(len, batch)))
    return meter, model


def _trl(
    folder: Path, train: list[ChatExample], options: argparse.Namespace
) -> "tuple[Meter, PreTrainedModel]":
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = [{"prompt": list(e.messages[:-1]), "completion": list(e.messages[-1:])} for e in train]
    tokens: list[int] = []
    meter = Meter()

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_arguments: object, **_named: object) -> None:
            meter.step(tokens.pop(0))

    with tempfile.TemporaryDirectory(prefix="everloop-trl-") as place:
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder),
            processing_class=AutoTokenizer.from_pretrained(folder),
            train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=16, lora_alpha=32, target_modules="all-linear"
            ),
            args=SFTConfig(
                output_dir=place,
                per_device_train_batch_size=options.batch,
                learning_rate=RATE,
                num_train_epochs=1,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                seed=1,
                use_cpu=not torch.cuda.is_available(),  # it refuses to begin on a CPU otherwise
                **({"bf16": False} if options.side == "trl-fp32" else {}),
            ),
            callbacks=[Clock()],
        )
        collate = trainer.data_collator

        def counting(features: list[dict[str, Any]]) -> "dict[str, torch.Tensor]":
            tokens.append(sum(len(feature["input_ids"]) for feature in features))
            batch: dict[str, torch.Tensor] = collate(features)
            return batch

        trainer.data_collator = counting
        trainer.train()
    return meter, trainer.model.float()


SIDES: Final[dict[str, Any]] = {
    "everloop": _everloop,
    "everloop-bf16": _everloop,
    "bare": _bare,
    "trl": _trl,
    "trl-fp32": _trl,
    "ray": _ray,
}


if __name__ == "__main__":
    main()
