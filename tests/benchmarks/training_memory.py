"""Peak memory of each way to train, on the packaged model.

    python -m tests.benchmarks.training_memory --data ../shared/data/banking77 [--steps 4]
        [--batch 16] [--methods lora,rslora,dora,qlora,full,dpo]

Each method trains a few steps on the same questions and answers in a process of its own, and is
read off the process's largest resident set: Python, torch, the model, the optimizer and a step.
`idle` has torch and transformers imported and the model loaded, and trains nothing.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from cluster.models import ensure_model
from cluster.settings import load_settings
from tests.benchmarks.reporting import report
from tests.benchmarks.training_rate import MODEL, Meter, banking_examples
from training.adapters import AdapterPlan, prepare_model
from training.examples import ChatExample, Example, PreferenceExample
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Objective, Preference, Supervised
from training.tokens import ExampleTokenizer

METHODS: Final = ("idle", "lora", "rslora", "dora", "qlora", "full", "dpo")


def main() -> None:
    """Measure one method after the other and report."""
    options = _options()
    if options.method:
        print(json.dumps(_measure(options.method, options)))
        return
    found = {}
    for method in options.methods.split(","):
        found[method] = _in_process_of_its_own(method)
        print(f"{method}: {found[method]}", file=sys.stderr, flush=True)
    rows = [
        (method, one["peak_mib"], one["trained_millions"], one["tokens_per_s"])
        for method, one in found.items()
    ]
    columns = ("method", "peak MiB", "trained parameters, millions", "tokens/s")
    report("training_memory", f"{options.steps} steps of {options.batch}", columns, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of BANKING77's train.csv")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--method", help=argparse.SUPPRESS)
    return parser.parse_args()


def _in_process_of_its_own(method: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.training_memory", *sys.argv[1:]]
    done = subprocess.run(
        [*command, "--method", method], stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _measure(method: str, options: argparse.Namespace) -> dict[str, float]:
    import torch

    torch.set_num_threads(options.threads)
    folder = ensure_model(MODEL, load_settings().cache_dir)
    chats = banking_examples(options.data / "train.csv", options.steps * options.batch)
    kind: Any = "lora" if method in ("dpo", "idle") else method
    model = prepare_model(folder, AdapterPlan(kind=kind, rank=16, alpha=32.0), seed=1)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    meter = Meter()
    if method != "idle":
        examples: list[Example] = [*(_preferences(chats) if method == "dpo" else chats)]
        objective: Objective = Preference() if method == "dpo" else Supervised()
        samples, _ = ExampleTokenizer.load(folder).all(examples)
        plan = LoopPlan(batch=options.batch, learning_rate=1e-4, seed=1)
        TrainingLoop(model, objective, samples, plan).run(meter)
    return {
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "trained_millions": trained / 1e6 if method != "idle" else 0.0,
        "tokens_per_s": meter.tokens_per_s if method != "idle" else 0.0,
    }


def _preferences(chats: list[ChatExample]) -> list[PreferenceExample]:
    """The right answer over that of another question."""
    others = [*chats[1:], chats[0]]
    return [
        PreferenceExample(one.messages[:-1], one.messages[-1:], other.messages[-1:])
        for one, other in zip(chats, others, strict=True)
    ]


if __name__ == "__main__":
    main()
