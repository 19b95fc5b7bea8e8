"""DeepSpeed's ZeRO trains what DDP trains, and each goes on where another stopped."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.tiny import tiny_folder
from tests.training.zero_session import DATA, PLAN, Made, Run, Stage, hold_session

pytestmark = pytest.mark.integration

STAGES: tuple[Stage, ...] = (1, 2, 3)
ALL: tuple[Stage, ...] = (0, *STAGES)
WHOLE = [Run(f"{kind} {stage}", stage, kind) for kind in ("lora", "full") for stage in ALL]
VARIANTS = [
    Run("dora 0", 0, "dora"),
    Run("dora 3", 3, "dora"),
    Run("qlora 0", 0, "qlora"),
    Run("qlora 2", 2, "qlora"),
    Run("dpo 0", 0, dpo=True),
    Run("dpo 3", 3, dpo=True),
    Run("offload 1", 1, offload="cpu"),
    Run("offload 2", 2, offload="cpu"),
    Run("offload 3", 3, offload="cpu"),
    Run("again 3", 3, "full", checkpoint_activations=True),
]
LIKE = {
    **{run.name: f"{run.kind} 0" for run in WHOLE if run.stage},
    "dora 3": "dora 0",
    "qlora 2": "qlora 0",
    "dpo 3": "dpo 0",
    **{f"offload {stage}": "lora 0" for stage in STAGES},
    "again 3": "full 0",
}
BF16 = [Run(f"bf16 {stage}", stage, "full", bf16=True) for stage in STAGES]
TWO = [Run(f"two {stage}", stage, "full", cut=True) for stage in ALL]
ONE = [Run("one 0", 0, "full", cut=True), Run("one 3", 3, "full", cut=True)]
CUT_BF16 = Run("two bf16", 2, "full", cut=True, bf16=True)


def after(workers: str, *pairs: tuple[str, Stage]) -> list[Run]:
    return [
        Run(f"{cut} to {workers} {stage}", stage, "full", goes_on_from=cut) for cut, stage in pairs
    ]


ON_TWO = after(
    "two", ("two 1", 1), ("two 2", 2), ("two 3", 3), ("two 0", 3), ("two 3", 0), ("one 0", 1)
)
ON_TWO += after("two", ("one 3", 3))
ON_ONE = after("one", ("two 0", 2), ("two 1", 0), ("two 3", 3))
ON_BF16 = Run("two bf16 to 2", 2, "full", goes_on_from="two bf16", bf16=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def made(folder: Path) -> Iterator[dict[str, list[Made]]]:
    """What every run came to."""
    # Odd widths: two workers do not divide the parameters evenly.
    odd = {"hidden_size": 31, "intermediate_size": 127, "head_dim": 32}
    tiny_folder(folder / "odd", num_attention_heads=1, num_key_value_heads=1, **odd)
    tiny_folder(folder / "even")
    diverging = Run("diverging", 3, "full", rate=1e30)
    two = [[*WHOLE, *VARIANTS, *BF16, *TWO, CUT_BF16, diverging], [*ON_TWO, ON_BF16]]
    yield hold_session(folder, two, [ONE, ON_ONE])


def of(made: dict[str, list[Made]], name: str) -> Made:
    """On its first worker; the others were told the same."""
    first, *others = made[name]
    assert not first.error, first.error
    for other in others:
        assert (other.losses, other.norms, other.ending) == (
            first.losses,
            first.norms,
            first.ending,
        )
    return first


@pytest.mark.parametrize("name", LIKE)
def test_a_run_spread_over_workers_is_that_of_ddp(made: dict[str, list[Made]], name: str) -> None:
    spread, plain = of(made, name), of(made, LIKE[name])
    assert len(plain.losses) == (4 if name.startswith("dpo") else 6)
    # Kernels of 4-bit weights turn a difference in the last bit into a larger one.
    near = 1e-4 if plain is made["qlora 0"][0] else 1e-5
    assert spread.losses == pytest.approx(plain.losses, abs=near)
    assert spread.norms == pytest.approx(plain.norms, abs=2 * near)
    assert spread.validations == pytest.approx(plain.validations, abs=near)
    assert max(plain.norms) > PLAN.max_gradient_norm, "nothing was clipped"


@pytest.mark.parametrize("run", [*ON_TWO, *ON_ONE], ids=lambda run: run.name)
def test_a_run_that_was_cut_goes_on_as_if_it_had_not_been(
    made: dict[str, list[Made]], run: Run
) -> None:
    assert run.goes_on_from is not None
    first, second, whole = of(made, run.goes_on_from), of(made, run.name), of(made, "full 0")
    assert (first.ending, len(first.losses)) == ("stopped", 4)
    assert second.ending == "finished"
    assert first.losses + second.losses == pytest.approx(whole.losses, abs=1e-5)
    assert first.validations + second.validations == pytest.approx(whole.validations, abs=1e-5)


@pytest.mark.parametrize("run", [*ON_TWO, *ON_ONE], ids=lambda run: run.name)
def test_each_sample_is_seen_once_an_epoch_across_the_cut(
    made: dict[str, list[Made]], run: Run
) -> None:
    parts = [*made[str(run.goes_on_from)], *made[run.name]]
    seen = Counter(tuple(ids) for part in parts for ids in part.seen)
    each = Counter(tuple(one.input_ids) for (one,) in DATA)
    assert seen == Counter({ids: count * PLAN.epochs for ids, count in each.items()})


@pytest.mark.parametrize("run", BF16, ids=lambda run: run.name)
def test_bf16_trains_as_float32_but_for_rounding(made: dict[str, list[Made]], run: Run) -> None:
    assert of(made, run.name).losses == pytest.approx(of(made, "full 0").losses, abs=0.02)


def test_a_bf16_run_keeps_its_float32_weights_across_a_cut(made: dict[str, list[Made]]) -> None:
    losses = of(made, CUT_BF16.name).losses + of(made, ON_BF16.name).losses
    assert losses == pytest.approx(of(made, "bf16 2").losses, abs=1e-5)


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("stage", STAGES)
def test_a_checkpoint_is_ddps(
    made: dict[str, list[Made]], folder: Path, kind: str, stage: int
) -> None:
    import torch
    from safetensors.torch import load_file

    assert of(made, f"{kind} {stage}").ending == "finished"
    plain, spread = folder / f"{kind} 0", folder / f"{kind} {stage}"
    files = {path.relative_to(plain) for path in plain.rglob("*") if path.is_file()}
    assert {path.relative_to(spread) for path in spread.rglob("*") if path.is_file()} == files
    assert Path("best.safetensors") in files
    for file in (path for path in files if path.suffix == ".safetensors"):
        wanted, found = load_file(plain / file), load_file(spread / file)
        assert found.keys() == wanted.keys()
        for name, tensor in wanted.items():
            assert found[name].dtype == tensor.dtype == torch.float32
            assert torch.allclose(found[name], tensor, atol=1e-4), name
    states = [json.loads((path / "state.json").read_text())["state"] for path in (plain, spread)]
    assert states[0]["cursor"] == states[1]["cursor"]


def test_a_run_that_diverges_says_so_on_every_worker(made: dict[str, list[Made]]) -> None:
    for worker in made["diverging"]:
        assert "Lower `optimizer.learning_rate` (now 1e+30)" in worker.error
