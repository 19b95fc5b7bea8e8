"""From our settings to `ray.serve.llm`'s configuration, with its defaults corrected."""

import os
import sys
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.sections.serving import SAFE_FORMATS
from cluster.settings import ModelSettings
from deployments.lifetime import lifetime
from deployments.model.block_layers import block_layers
from deployments.model.chat_template import chat_template

if TYPE_CHECKING:
    from ray.serve.llm import LLMConfig

__all__ = [
    "deployment_name",
    "engine_arguments",
    "llm_config",
    "runtime_environment",
    "serve_options",
    "thread_binding",
]

SMALL_MACHINE_CPUS: Final = 4
"""Up to this many CPUs, the engine computes on all of them."""


def deployment_name(model_id: str) -> str:
    """The Serve deployment of a model."""
    return "Model:" + model_id.replace("/", "--").replace(".", "_")


def engine_arguments(settings: ModelSettings, path: Path) -> dict[str, Any]:
    """Engine arguments of vLLM. `settings.engine` has the last word."""
    arguments: dict[str, Any] = {
        "dtype": settings.dtype,
        "max_model_len": settings.max_context_tokens,
        "max_num_seqs": settings.max_ongoing_requests,
        "generation_config": "vllm",
        "load_format": SAFE_FORMATS[0],
        "trust_remote_code": settings.remote_code is not None,
    }
    if settings.max_adapters:
        arguments |= _adapter_arguments(settings, path)
    if settings.tool_call_parser:
        arguments |= {
            "enable_auto_tool_choice": True,
            "tool_call_parser": settings.tool_call_parser,
        }
    template = chat_template(
        path, settings.chat_template, tools=settings.tool_call_parser is not None
    )
    if template is not None:
        arguments["chat_template"] = template
    if settings.device == "cpu":
        arguments |= {
            # Compiling costs minutes at start and gains nothing on a CPU.
            "enforce_eager": True,
            "kv_cache_memory_bytes": int(settings.kv_cache_gib * 1024**3),
        }
    else:
        arguments |= {
            "tensor_parallel_size": settings.tensor_parallel,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
        }
    return arguments | settings.engine


def _adapter_arguments(settings: ModelSettings, path: Path) -> dict[str, Any]:
    """Places for adapters. vLLM never has to put one out by itself: `adapter_cache.py` does.

    On a CPU there is one more, which stays empty. There vLLM takes the weights of tokens without an
    adapter from the last place (index -1; vllm-project/vllm#48421): in a batch with a call for the
    adapter that is in it, calls for the model itself would be answered by that adapter. An adapter
    takes the first free place, so with one more than adapters the last one holds zeros.

    On a CPU adapters also sit in the blocks only. vLLM would copy the head's rows for each token,
    with or without an adapter: most of what the head itself costs.
    """
    on_cpu = settings.device == "cpu"
    places = settings.max_adapters + on_cpu
    arguments: dict[str, Any] = {
        "enable_lora": True,
        "max_loras": places,
        "max_cpu_loras": places,
        "max_lora_rank": settings.max_adapter_rank,
    }
    if on_cpu and (layers := block_layers(path)):
        arguments["lora_target_modules"] = layers
    return arguments


def thread_binding(cpus: Set[int]) -> str:
    """`VLLM_CPU_OMP_THREADS_BIND`: the CPUs that the engine's threads are bound to.

    `auto` of vLLM keeps one CPU free, which is half of a small machine: on two CPUs it doubles the
    time to the first token.
    """
    if len(cpus) > SMALL_MACHINE_CPUS:
        return "auto"
    return ",".join(str(cpu) for cpu in sorted(cpus))


def runtime_environment(settings: ModelSettings) -> dict[str, str]:
    """Environment variables of a replica and of its engine's processes.

    A package of vLLM's has all loggers of the process tell errors alone, unless told otherwise.
    On a CPU the engine's OpenMP is Intel's, where installed: its threads sleep after a millisecond
    without work. GNU's spin, and an engine that shares its CPUs with anything stands still for it.
    """
    environment = {"SAGEMAKER_CONTAINER_LOG_LEVEL": "WARNING"}
    if settings.device == "gpu":
        return environment
    environment["VLLM_CPU_OMP_THREADS_BIND"] = thread_binding(_allowed_cpus())
    library = Path(sys.prefix) / "lib" / "libiomp5.so"
    if sys.platform == "linux" and library.is_file():
        environment["LD_PRELOAD"] = str(library)
    return environment


def _allowed_cpus() -> Set[int]:
    return os.sched_getaffinity(0) if sys.platform == "linux" else frozenset()


def serve_options(settings: ModelSettings, longest_call_s: float = 300.0) -> dict[str, Any]:
    """Serve's options for the deployment of a model: bounded queues, scaling on real load.

    `ray.serve.llm` takes 10⁹ requests at once and scales up at 10⁹.
    """
    options: dict[str, Any] = {
        "max_ongoing_requests": settings.max_ongoing_requests,
        "max_queued_requests": settings.max_queued_requests,
        **lifetime(longest_call_s, surge=settings.surge),
    }
    if settings.min_replicas == settings.max_replicas:
        return options | {"num_replicas": settings.max_replicas}
    return options | {
        "autoscaling_config": {
            "min_replicas": settings.min_replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": settings.target_ongoing_requests,
            "look_back_period_s": 10,
            "upscale_delay_s": 5,
            "downscale_delay_s": 120,
        }
    }


def llm_config(settings: ModelSettings, path: Path, longest_call_s: float = 300.0) -> "LLMConfig":
    """The configuration of one model whose weights are in `path`."""
    from ray.serve.llm import LLMConfig, ModelLoadingConfig

    placement: dict[str, Any] = {}
    if settings.device == "cpu":
        # The engine runs in the replica's own bundle; one more would reserve a CPU for nothing.
        placement["placement_group_config"] = {"bundles": [{"CPU": 0}]}
    return LLMConfig(
        model_loading_config=ModelLoadingConfig(model_id=settings.id, model_source=str(path)),
        engine_kwargs=engine_arguments(settings, path),
        deployment_config={
            **serve_options(settings, longest_call_s),
            "ray_actor_options": {"num_cpus": settings.cpus_per_replica},
        },
        accelerator_config={"kind": settings.device},
        runtime_env={"env_vars": runtime_environment(settings)},
        callback_config={"callback_class": "deployments.model.local_weights.LocalWeights"},
        **placement,
    )
