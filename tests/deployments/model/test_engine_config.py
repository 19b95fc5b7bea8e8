"""Settings as engine arguments and Serve options."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.settings import ModelSettings
from deployments.model.engine_config import (
    engine_arguments,
    runtime_environment,
    serve_options,
    thread_binding,
)


def settings(**values: Any) -> ModelSettings:
    return ModelSettings(id="m", **values)


def test_queues_are_bounded_and_load_scales() -> None:
    options = serve_options(settings(min_replicas=1, max_replicas=3, target_ongoing_requests=4))
    assert options["max_ongoing_requests"] == 32
    assert options["max_queued_requests"] == 64
    scaling = options["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"]) == (1, 3)
    assert scaling["target_ongoing_requests"] == 4


def test_equal_bounds_fix_the_number_of_replicas() -> None:
    options = serve_options(settings(min_replicas=2, max_replicas=2))
    assert options["num_replicas"] == 2
    assert "autoscaling_config" not in options


def test_the_engine_settings_have_the_last_word(tmp_path: Path) -> None:
    arguments = engine_arguments(settings(engine={"max_num_seqs": 4}), tmp_path)
    assert arguments["max_num_seqs"] == 4


def test_a_fraction_of_a_gibibyte_is_a_cache_size(tmp_path: Path) -> None:
    arguments = engine_arguments(settings(kv_cache_gib=0.5), tmp_path)
    assert arguments["kv_cache_memory_bytes"] == 512 * 1024**2


def test_a_gpu_has_tensor_parallelism_and_no_cpu_arguments(tmp_path: Path) -> None:
    gpu = settings(device="gpu", tensor_parallel=2)
    arguments = engine_arguments(gpu, tmp_path)
    assert arguments["tensor_parallel_size"] == 2
    assert "enforce_eager" not in arguments
    assert runtime_environment(gpu) == {"SAGEMAKER_CONTAINER_LOG_LEVEL": "WARNING"}


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_replica_says_warnings_whatever_vllm_imports(device: str) -> None:
    code = (
        "import logging, model_hosting_container_standards.logging_config\n"
        "logging.getLogger('deployments.model').warning('heard')"
    )
    environment = runtime_environment(settings(device=device))
    environment.pop("LD_PRELOAD", None)
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "heard" in said.stderr


@pytest.mark.parametrize(
    ("cpus", "expected"), [({0}, "0"), ({1, 0}, "0,1"), (set(range(16)), "auto")]
)
def test_a_small_machine_computes_on_every_cpu(cpus: set[int], expected: str) -> None:
    assert thread_binding(cpus) == expected


@pytest.mark.parametrize(("device", "places"), [("cpu", 4), ("gpu", 3)])
def test_on_a_cpu_one_more_place_for_adapters_stays_empty(
    tmp_path: Path, device: str, places: int
) -> None:
    chosen = settings(max_adapters=3, max_adapter_rank=32, device=device)
    arguments = engine_arguments(chosen, tmp_path)
    assert arguments["enable_lora"] is True
    assert (arguments["max_loras"], arguments["max_cpu_loras"]) == (places, places)
    assert arguments["max_lora_rank"] == 32


def test_no_adapters_no_lora(tmp_path: Path) -> None:
    assert "enable_lora" not in engine_arguments(settings(max_adapters=0), tmp_path)


def test_weights_are_safetensors_and_code_runs_only_where_named(tmp_path: Path) -> None:
    arguments = engine_arguments(settings(), tmp_path)
    assert (arguments["load_format"], arguments["trust_remote_code"]) == ("safetensors", False)
    named = settings(source="someone/model", remote_code="someone/model")
    assert engine_arguments(named, tmp_path)["trust_remote_code"] is True
