"""Documents that begin alike share what they begin with, and train as if they did not."""

import random
from pathlib import Path

import pytest

from tests.training.test_packing import mistral_folder
from tests.training.tiny import tiny_folder
from training.adapters import AdapterPlan, prepare_model
from training.attention import packing_arguments, shares_prefixes
from training.objectives import Objective, Preference, Supervised
from training.packing import Row, row_of
from training.stretches import Stretch, shared
from training.tokens.tokenized import Sample, Tokenized


def read_back(documents: list[list[int]]) -> tuple[int, list[list[int]]]:
    """How many tokens the layout holds, and the documents that its paths spell."""
    layout = shared(documents)
    held: dict[int, list[int]] = {}
    for document, path in zip(documents, layout.paths, strict=True):
        at = 0
        for place in path:
            length = layout.stretches[place].length
            assert held.setdefault(place, document[at : at + length]) == document[at : at + length]
            at += length
        assert at == len(document)
        assert all(layout.stretches[p].before == path[:i] for i, p in enumerate(path))
    spelled = [[i for place in path for i in held[place]] for path in layout.paths]
    return sum(stretch.length for stretch in layout.stretches), spelled


def test_a_common_beginning_is_laid_out_once() -> None:
    system = list(range(10))
    layout = shared([[*system, 50, 51], [*system, 60], [*system, 70, 71, 72]])
    assert layout.stretches == (
        Stretch(10),
        Stretch(2, (0,)),
        Stretch(1, (0,)),
        Stretch(3, (0,)),
    )
    assert layout.paths == ((0, 1), (0, 2), (0, 3))


def test_prompts_within_a_common_beginning_share_further() -> None:
    system, first, second = list(range(10)), list(range(20, 30)), list(range(40, 52))
    documents = [[*system, *first, 1], [*system, *second, 2], [*system, *first, 3, 4]]
    assert read_back(documents) == (10 + 10 + 12 + 1 + 1 + 2, documents)


def test_what_saves_little_is_not_shared() -> None:
    documents = [[1, 2, 3, 4], [1, 2, 9, 9], [7, 7]]
    assert read_back(documents) == (10, documents)


def test_equal_documents_and_beginnings_of_others_keep_their_place() -> None:
    long = list(range(20))
    documents = [long, long[:12], long, [5]]
    assert read_back(documents) == (21, documents)


@pytest.mark.parametrize("seed", range(20))
def test_any_documents_are_spelled_by_their_paths(seed: int) -> None:
    chance = random.Random(seed)
    beginnings = [[chance.randrange(3) for _ in range(12)] for _ in range(3)]
    documents = [
        chance.choice(beginnings)[: chance.randint(0, 12)]
        + [chance.randrange(3) for _ in range(chance.randint(1, 9))]
        for _ in range(12)
    ]
    tokens, spelled = read_back(documents)
    assert spelled == documents
    assert tokens <= sum(map(len, documents))


def conversations(pairs: bool) -> list[Sample]:
    """Questions behind one system prompt; as pairs, each with two answers."""
    chance = random.Random(3)
    system = [chance.randrange(256) for _ in range(14)]
    made: list[Sample] = []
    for _ in range(5):
        prompt = system + [chance.randrange(256) for _ in range(chance.randint(3, 12))]
        answers = [[chance.randrange(256) for _ in range(chance.randint(2, 5))] for _ in "ab"]
        made.append(
            tuple(
                Tokenized((*prompt, *answer), (0.0,) * len(prompt) + (1.0,) * len(answer))
                for answer in answers[: 1 + pairs]
            )
        )
    return made


@pytest.mark.parametrize("objective", [Supervised(), Preference(0.1)], ids=["supervised", "dpo"])
@pytest.mark.parametrize("window", [None, 6])
def test_sharing_changes_neither_loss_nor_gradient(
    tmp_path: Path, objective: Objective, window: int | None
) -> None:
    import torch

    folder = tiny_folder(tmp_path) if window is None else mistral_folder(tmp_path, window)
    model = prepare_model(folder, AdapterPlan(rank=4), seed=0)
    assert shares_prefixes(model)
    with torch.no_grad():  # an adapter that says something
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(generator=torch.Generator().manual_seed(1), std=0.1)
    data = conversations(pairs=isinstance(objective, Preference))

    def run(row: Row) -> tuple[float, "torch.Tensor"]:
        model.zero_grad()
        loss = objective(model, row).total
        loss.backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return float(loss.detach()), torch.cat(gradients)

    together, alone = row_of(data, share=True), row_of(data)
    assert together.input_ids.shape[1] < 0.7 * alone.input_ids.shape[1]
    assert together.tokens == alone.tokens
    (loss, gradient), (expected, plain) = run(together), run(alone)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(gradient, plain, atol=1e-5 * float(plain.abs().max()))
    assert "stretches" in packing_arguments(together.stretches, model)
