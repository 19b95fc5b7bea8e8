"""An engine that spreads the training state over the workers: DeepSpeed's ZeRO.

Stage 1 spreads the moments, stage 2 the gradients too, stage 3 the weights too (Rajbhandari et al.,
2020, https://arxiv.org/abs/1910.02054). DeepSpeed's own checkpoints cannot be read by another
number of workers; ours are gathered whole from the shards, and cut again.

From stage 2 on each pass meets the other workers', so all make as many, and break off together.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from training.engine import MOMENTS, decaying_groups, trained_parameters
from training.workers import Workers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from training.loop import LoopPlan
    from training.packing import Row

__all__ = ["Offload", "Stage", "ZeroEngine", "ZeroPlan"]

Stage = Literal[1, 2, 3]
Offload = Literal["none", "cpu"]
_BUCKET: Final = 2**24
"""Elements of one message; DeepSpeed's own default takes 2 GB for it."""
_SMALL: Final = 100_000
"""Stage 3 leaves weights of fewer elements whole: fetching them costs more than they do."""


@dataclass(frozen=True, slots=True)
class ZeroPlan:
    """What is spread over the workers, and where it lies."""

    stage: Stage
    offload: Offload = "none"
    """`cpu` keeps moments (stage 3: weights too) in the machine's memory, off the accelerator."""


class ZeroEngine:
    """DeepSpeed's engine behind `training.engine.Engine`. Needs a process group.

    In bf16 all weights are held in bf16, and float32 copies of the trained ones in the shards.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        plan: "LoopPlan",
        workers: Workers,
        zero: ZeroPlan,
        *,
        bf16: bool = False,
    ) -> None:
        import torch

        self.trained = trained_parameters(model)
        self._workers = workers
        self._stage = zero.stage
        workers.take_from_first([parameter.data for parameter in self.trained.values()])
        optimizer = torch.optim.AdamW(
            decaying_groups(self.trained, plan.weight_decay),
            lr=plan.learning_rate,
            betas=plan.betas,
            fused=True,
        )
        largest = max(parameter.numel() for parameter in self.trained.values())
        deepspeed = _deepspeed(next(model.parameters()).device.type)
        self._engine: Any = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            config=_config(zero, plan, max(_BUCKET, largest), bf16),
            dist_init_required=False,
        )[0]
        self.model = cast("PreTrainedModel", _Driven(self._engine))
        self._begin_moments()

    def passes(
        self, rows: "Sequence[Row]", spare: "Callable[[], Row]"
    ) -> "Iterator[tuple[Row, float]]":
        """Its rows, then spare ones until the worker with the most rows is done."""
        import torch

        counts = torch.zeros(self._workers.size, device=self._device)
        counts[self._workers.rank] = len(rows)
        self._workers.add_up([counts])
        for row in rows:
            yield row, 1.0
        idle = int(counts.max()) - len(rows)
        if idle:
            row = spare()
            for _ in range(idle):
                yield row, 0.0

    def agreed(self, stop: bool) -> bool:
        """Whether any worker wants to."""
        import torch

        words = torch.tensor([float(stop)], device=self._device)
        self._workers.add_up([words])
        return bool(words.item())

    def backward(self, loss: "torch.Tensor") -> None:
        """Add the gradient of `loss`, so scaled that DeepSpeed's mean over workers is the sum."""
        self._engine.backward(loss * self._workers.size, scale_wrt_gas=False)

    def step(self, rate: float) -> float:
        """Clip and apply what DeepSpeed has gathered of the gradients."""
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        self._engine.step()
        norm = self._engine.get_global_grad_norm()
        return math.nan if norm is None else float(norm)

    def forget(self) -> None:
        """Drop the gradients, as far as DeepSpeed lets go of them."""
        self._engine.optimizer.zero_grad(set_to_none=True)

    def weights(self) -> "dict[str, torch.Tensor]":
        """Gathered from the float32 shards, one at a time; on the first worker only."""
        from deepspeed.utils import safe_get_full_fp32_param

        return self._gathered(self.trained, safe_get_full_fp32_param)

    def moments(self) -> "dict[str, torch.Tensor]":
        """Gathered, one at a time; on the first worker only."""
        from deepspeed.utils import safe_get_full_optimizer_state

        found: dict[str, torch.Tensor] = {}
        for key in MOMENTS:
            named = {f"{key}/{name}": p for name, p in self.trained.items()}
            gather = partial(safe_get_full_optimizer_state, optim_state_key=key)
            found |= self._gathered(named, gather)
        return found

    def put(self, weights: "Mapping[str, torch.Tensor]") -> None:
        """Cut into shards, and copied to what the passes read."""
        for name, whole in weights.items():
            parameter = self.trained[name]
            with self._whole(parameter):
                parameter.data.copy_(whole)
            self._cut(parameter, whole)

    def restore(self, moments: "Mapping[str, torch.Tensor]", step: int) -> None:
        """Cut into shards."""
        for name, parameter in self.trained.items():
            for key in MOMENTS:
                if (whole := moments.get(f"{key}/{name}")) is not None:
                    self._cut(parameter, whole, key)
        for state in self._engine.optimizer.optimizer.state.values():
            state["step"].fill_(step)

    @property
    def _device(self) -> "torch.device":
        return cast("torch.device", self._engine.device)

    def _gathered(
        self,
        named: "Mapping[str, torch.nn.Parameter]",
        whole: "Callable[[torch.nn.Parameter], torch.Tensor]",
    ) -> "dict[str, torch.Tensor]":
        found = {}
        for name, parameter in named.items():
            tensor = whole(parameter)
            if self._workers.rank == 0:
                found[name] = tensor.detach().to("cpu")
        return found

    def _whole(self, parameter: "torch.nn.Parameter") -> AbstractContextManager[None]:
        """In it the parameter's data is whole; what the first worker writes there is kept."""
        if self._stage < 3:
            return nullcontext()
        import deepspeed

        gathered: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(
            [parameter], modifier_rank=0
        )
        return gathered

    def _cut(
        self, parameter: "torch.nn.Parameter", whole: "torch.Tensor", key: str | None = None
    ) -> None:
        """Set this worker's part of a float32 weight, or of its moment `key`."""
        import torch
        from deepspeed import utils

        whole = whole.to(self._device, torch.float32)
        if self._stage < 3:
            if key is None:
                utils.safe_set_full_fp32_param(parameter, whole)
            else:
                utils.safe_set_full_optimizer_state(parameter, whole, key)
            return
        # The call for whole tensors fails where the workers do not divide a parameter evenly.
        size = cast("Any", parameter).ds_tensor.numel()
        short = size * self._workers.size - whole.numel()
        flat = torch.nn.functional.pad(whole.flatten(), (0, short))
        part = flat.narrow(0, size * self._workers.rank, size)
        if key is None:
            utils.safe_set_local_fp32_param(parameter, part)
        else:
            utils.safe_set_local_optimizer_state(parameter, part, key)

    def _begin_moments(self) -> None:
        """Make the moments now: DeepSpeed makes them in the first step, too late to restore any."""
        import torch

        zero = self._engine.optimizer
        for shard in _shards(zero):
            zero.optimizer.state[shard] = {
                "step": torch.zeros((), dtype=torch.float32, device=shard.device),
                **{key: torch.zeros_like(shard) for key in MOMENTS},
            }
        if self._stage < 3:
            zero._lazy_init_hp_params_optimizer_state()


def _shards(zero: Any) -> "Sequence[torch.Tensor]":
    """A worker's float32 weights, as each of DeepSpeed's three optimizers calls them."""
    names = (
        "single_partition_of_fp32_groups",  # stages 1 and 2
        "fp32_groups_flat_partition",  # stage 1 in bf16
        "fp32_partitioned_groups_flat",  # stage 3
    )
    found: Sequence[torch.Tensor] = next(getattr(zero, n) for n in names if hasattr(zero, n))
    return found


class _Driven:
    """The model, with its forward through DeepSpeed's engine, whose `config` is its own."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __call__(self, **inputs: Any) -> Any:
        return self._engine(**inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine.module, name)


def _config(zero: ZeroPlan, plan: "LoopPlan", bucket: int, bf16: bool) -> dict[str, Any]:
    """DeepSpeed's; keys are explained at https://www.deepspeed.ai/docs/config-json/."""
    spread: dict[str, Any] = {
        "stage": zero.stage,
        "overlap_comm": False,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
        "stage3_param_persistence_threshold": _SMALL,
    }
    if zero.offload == "cpu":
        spread["offload_optimizer"] = {"device": "cpu"}
        if zero.stage == 3:
            spread["offload_param"] = {"device": "cpu"}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,  # a step ends where the loop says so
        "gradient_clipping": plan.max_gradient_norm,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": spread,
        "bf16": {"enabled": bf16},
        "data_types": {"grad_accum_dtype": "fp32"},
        "steps_per_print": None,
    }


def _deepspeed(device: str) -> Any:
    """The package, told which kind of device it is on before it looks for itself."""
    os.environ.setdefault("DS_ACCELERATOR", device)
    import deepspeed
    from deepspeed import ops
    from deepspeed.utils.logging import set_log_level_from_string

    set_log_level_from_string("warning")
    if device == "cpu":
        # It would compile a shared-memory transport for a minute, and then not use it here.
        ops.__compatible_ops__ = {}
    return deepspeed
