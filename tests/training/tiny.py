"""A Llama of two layers and what it trains on: seconds, not minutes, and the same every time."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from training.adapters import AdapterPlan, prepare_model
from training.examples import ChatExample
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Objective, Preference, Supervised
from training.progress import News, StepDone, Validated
from training.tokens import Sample, Tokenized
from training.workers import Workers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = [
    "VOCABULARY",
    "Notes",
    "Threaded",
    "chats",
    "document",
    "samples",
    "tiny_chat_folder",
    "tiny_folder",
    "tiny_loop",
]

VOCABULARY: Final = 256
T = TypeVar("T")


def tiny_folder(folder: Path, **changes: object) -> Path:
    """Write the model without a tokenizer; `changes` go into its config."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    options = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        **changes,
    }
    torch.set_num_threads(1)
    torch.manual_seed(7)
    LlamaForCausalLM(LlamaConfig(**options)).save_pretrained(folder)
    return folder


def tiny_chat_folder(folder: Path, **changes: object) -> Path:
    """The model with a tokenizer of bytes and a ChatML template: what a hub's folder holds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tiny_folder(folder, vocab_size=320, **changes)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    fast.save_pretrained(folder)
    return folder


def chats(count: int) -> list[ChatExample]:
    """Sums, which a model of two layers does not learn, but learns to answer in the form of."""
    return [
        ChatExample(
            (
                {"role": "user", "content": f"{n} + {n % 7}?"},
                {"role": "assistant", "content": f"It is {n + n % 7}."},
            ),
            (0.0, 1.0),
        )
        for n in range(count)
    ]


def document(length: int, seed: int, answer: int = 3) -> Tokenized:
    """Counting tokens from a random one; loss on the last `answer`."""
    start = random.Random(seed).randrange(VOCABULARY)
    ids = tuple((start + 3 * place) % VOCABULARY for place in range(length))
    loss = (0.0,) * (length - answer) + (1.0,) * answer
    return Tokenized(ids, loss)


def samples(count: int, seed: int = 0) -> list[Sample]:
    """Documents of 5 to 30 tokens."""
    chance = random.Random(seed)
    return [(document(chance.randint(5, 30), 1000 * seed + i),) for i in range(count)]


class Threaded:
    """Workers that are threads of this process."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size, timeout=60)
        self._given: dict[int, list[torch.Tensor]] = {}
        self._me = threading.local()

    @property
    def rank(self) -> int:
        """Of the calling thread."""
        return int(self._me.rank)

    def add_up(self, tensors: "Sequence[torch.Tensor]") -> None:
        """Replace each tensor by the sum over all threads."""
        self._given[self.rank] = [tensor.clone() for tensor in tensors]
        self._barrier.wait()
        for place, tensor in enumerate(tensors):
            tensor.copy_(sum(self._given[rank][place] for rank in range(self.size)))
        self._barrier.wait()

    def take_from_first(self, tensors: "Sequence[torch.Tensor]") -> None:
        """Replace each tensor by the first thread's."""
        if self.rank == 0:
            self._given[0] = [tensor.clone() for tensor in tensors]
        self._barrier.wait()
        for tensor, first in zip(tensors, self._given[0], strict=True):
            tensor.copy_(first)
        self._barrier.wait()

    def run(self, work: Callable[[int], T]) -> list[T]:
        """What `work` gives for its rank in each thread, in order of rank."""

        def as_worker(rank: int) -> T:
            self._me.rank = rank
            return work(rank)

        with ThreadPoolExecutor(self.size) as threads:
            return list(threads.map(as_worker, range(self.size)))


@dataclass
class Notes:
    """A Watcher that remembers, and stops or checkpoints as it is told."""

    stop_after: int | None = None
    keep: Callable[[TrainingLoop], None] | None = None
    news: list[News] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)

    @property
    def steps(self) -> list[StepDone]:
        """News of steps."""
        return [item for item in self.news if isinstance(item, StepDone)]

    @property
    def losses(self) -> list[float]:
        """Of the steps."""
        return [item.loss for item in self.steps]

    @property
    def validations(self) -> list[Validated]:
        """News of validations."""
        return [item for item in self.news if isinstance(item, Validated)]

    def tell(self, news: News) -> None:
        """Remember."""
        self.news.append(news)

    def checkpoint(self, loop: TrainingLoop) -> None:
        """Remember the step, and let `keep` write."""
        self.checkpoints.append(loop.state.step)
        if self.keep is not None:
            self.keep(loop)

    def stop_wanted(self) -> bool:
        """After `stop_after` steps."""
        return self.stop_after is not None and len(self.steps) >= self.stop_after


def tiny_loop(
    folder: Path,
    data: Sequence[Sample],
    plan: LoopPlan,
    *,
    adapter: AdapterPlan | None = None,
    validation: Sequence[Sample] = (),
    workers: Workers | None = None,
    objective: Objective | None = None,
    model: "PreTrainedModel | None" = None,
) -> TrainingLoop:
    """A loop over the tiny model. Threads are given a `model`: they must not load one at once."""
    return TrainingLoop(
        model or prepare_model(folder, adapter or AdapterPlan(rank=4), seed=plan.seed),
        objective or (Preference() if len(data[0]) == 2 else Supervised()),
        data,
        plan,
        validation=validation,
        workers=workers,
    )
