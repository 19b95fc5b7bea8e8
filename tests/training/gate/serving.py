"""A service of tiny models in this process: real weights, real tokenizers, four calls.

Where a test needs particular answers, or times, it gives them; all else is computed.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.examples import ChatExample, Message
from training.gate.items import Expected
from training.gate.local_weights import local_log_probabilities
from training.gate.served import Graded, ServedAnswer
from training.tokens import ExampleTokenizer

__all__ = ["TinyService", "labels", "random_adapter"]

Answers = Callable[[str, str], str]
"""From a model and the last question to an answer."""


@dataclass
class TinyService:
    """Serves `folder`, and adapters on it by their names; None is the base itself."""

    folder: Path
    adapters: Mapping[str, Path | None]
    answers: Answers = lambda _model, question: question
    seconds: Mapping[str, float] = field(default_factory=dict)
    template: Path | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)
    graded: Callable[[Sequence[Mapping[str, Any]]], Graded] | None = None
    """What the Evaluator says of rows; None: it has no say."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def chat(
        self,
        model: str,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        max_tokens: int,
        seed: int,
    ) -> ServedAnswer:
        question = str(messages[-1]["content"])
        with self._lock:
            self.asked.append((model, question))
        text = self.answers(model, question)
        return ServedAnswer(text, len(text.split()), self.seconds.get(model, 0.1), cut=False)

    def complete(
        self, model: str, prompt: Sequence[int], *, max_tokens: int, seed: int
    ) -> ServedAnswer:
        question = ExampleTokenizer.load(self.folder).text_of(prompt)
        return self.chat(
            model, [{"role": "user", "content": question}], (), max_tokens=max_tokens, seed=seed
        )

    def rendered(
        self, model: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> tuple[int, ...]:
        return ExampleTokenizer.load(self.folder, self.template).prompt_ids(messages, tools)

    def log_probabilities(self, model: str, tokens: Sequence[int], start: int) -> tuple[float, ...]:
        expected = Expected(tuple(tokens[:start]), tuple(tokens[start:]))
        with self._lock:
            return local_log_probabilities(self.folder, self.adapters[model], [expected]).trained[0]

    def grade(
        self,
        grader: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        *,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> Graded:
        assert self.graded is not None
        say(f"{len(rows)} answers graded by {grader['name']}")
        return self.graded(rows)


def random_adapter(base: Path, folder: Path, seed: int) -> Path:
    """An adapter whose random weights move every token of the tiny model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(seed)
    config = LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules="all-linear", init_lora_weights=False
    )
    get_peft_model(model, config).save_pretrained(folder)
    return folder


def labels(count: int, kinds: int) -> list[ChatExample]:
    """Questions `q0`, `q1`, …, each answered with one of `kinds` labels in turn."""
    return [
        ChatExample(
            (
                {"role": "user", "content": f"q{number}"},
                {"role": "assistant", "content": f"label {number % kinds}"},
            ),
            (0.0, 1.0),
        )
        for number in range(count)
    ]
